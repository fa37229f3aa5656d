import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { findGo } from "./machine.ts";
import type { Json } from "./openapi-schemas.ts";

/** Gitea's own OpenAPI 3 description is in its Go module. The version is pinned, and so is what the module contains: no database of sums is asked. */
const MODULE = "code.gitea.io/gitea";
const VERSION = "v1.27.3";
const SUM = "h1:SRnjvw24ASELKCqyYvAWIlzwOqyFMgfD+UkqQ9SE5eU=";
const FILE = "templates/swagger/v1_openapi3_json.tmpl";

const CACHE = resolve(import.meta.dir, "../../.cache/gitea", `${VERSION}.json`);
let found: Promise<Json | { missing: string }> | undefined;

/**
 * Gitea's description in .cache/gitea, downloaded there once (10 MB, by `go`).
 * @returns it, or the reason why it is missing, for the title of a skipped test.
 * @throws in CI (CI=true), where a skipped test would look like a passed one.
 */
export function giteaDescription(): Promise<Json | { missing: string }> {
  found ??= find();
  return found;
}

async function find(): Promise<Json | { missing: string }> {
  const held = await readFile(CACHE, "utf8").catch(() => undefined);
  if (held) return JSON.parse(held) as Json;
  try {
    return await download();
  } catch (error) {
    const missing = `${MODULE}@${VERSION} could not be downloaded: ${String(error)}`;
    if (process.env["CI"] === "true") throw new Error(missing);
    return { missing };
  }
}

async function download(): Promise<Json> {
  const scratch = await mkdtemp(join(tmpdir(), "pb-gitea-"));
  try {
    await writeFile(join(scratch, "go.mod"), "module none\n");
    const go = findGo();
    if (!go) throw new Error("go is missing (`npm test` installs it as root on Debian)");
    const child = Bun.spawn([go, "mod", "download", "-json", "-modcacherw", `${MODULE}@${VERSION}`], {
      cwd: scratch,
      env: { ...process.env, GOMODCACHE: join(scratch, "modules"), GOTOOLCHAIN: "local", GONOSUMDB: MODULE },
      stderr: "pipe",
      timeout: 300_000,
    });
    const [out, problem] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(`${problem}${out}`.trim().slice(-500));
    const { Dir: folder, Sum: sum } = JSON.parse(out) as { Dir: string; Sum: string };
    if (sum !== SUM) throw new Error(`its sum is ${sum}`);
    // A template of Go: the version and the path of the installation are left out.
    const text = (await readFile(join(folder, FILE), "utf8")).replace(/\{\{[^}]*\}\}/g, "");
    const description = JSON.parse(text) as Json;
    await mkdir(resolve(CACHE, ".."), { recursive: true });
    const draft = `${CACHE}.${process.pid}`;
    await writeFile(draft, text);
    await rename(draft, CACHE);
    return description;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
