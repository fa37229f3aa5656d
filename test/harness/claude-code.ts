import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

/** The version that the documentation and the tests were verified with. It is pinned, or tests would change by themselves. */
export const CLAUDE_CODE_VERSION = "2.1.330";

const CACHE = resolve(import.meta.dir, "../../.cache/claude-code");
let found: Promise<string | { missing: string }> | undefined;

/**
 * The pinned Claude Code program in .cache/claude-code, downloaded there once (about 100 MB).
 * @returns its absolute path, or the reason why it is missing, for the title of a skipped test.
 * @throws in CI (CI=true), where a skipped test would look like a passed one.
 */
export function claudeProgram(): Promise<string | { missing: string }> {
  found ??= find();
  return found;
}

async function find(): Promise<string | { missing: string }> {
  const name = packageName();
  const program = join(CACHE, "node_modules", name, "claude");
  if ((await versionOf(name)) === CLAUDE_CODE_VERSION) return program;
  const problem = await download(name).catch((error: unknown) => String(error));
  if (!problem && existsSync(program)) return program;
  const missing = `${name}@${CLAUDE_CODE_VERSION} could not be downloaded: ${problem ?? "the package has no program"}`;
  if (process.env["CI"] === "true") throw new Error(missing);
  return { missing };
}

/** The name of the native package for this platform, as Claude Code itself derives it. */
function packageName(): string {
  const musl = process.platform === "linux" && existsSync(`/lib/ld-musl-${muslArch()}.so.1`) ? "-musl" : "";
  return `@anthropic-ai/claude-code-${process.platform}-${process.arch}${musl}`;
}

function muslArch(): string {
  return process.arch === "arm64" ? "aarch64" : "x86_64";
}

async function versionOf(name: string): Promise<string | undefined> {
  try {
    const text = await readFile(join(CACHE, "node_modules", name, "package.json"), "utf8");
    return (JSON.parse(text) as { version?: string }).version;
  } catch {
    return undefined;
  }
}

/** Installs beside the cache and renames the folder: concurrent test processes never see a partial installation. */
async function download(name: string): Promise<string | undefined> {
  const draft = `${CACHE}.${process.pid}`;
  await mkdir(draft, { recursive: true });
  try {
    await writeFile(join(draft, "package.json"), '{"private":true}');
    const what = `${name}@${CLAUDE_CODE_VERSION}`;
    const npm = Bun.which("npm");
    const argv = npm
      ? [npm, "install", "--prefix", draft, "--no-save", "--no-package-lock", "--ignore-scripts", what]
      : [process.execPath, "add", "--cwd", draft, "--ignore-scripts", what];
    const child = Bun.spawn(argv, { stdout: "ignore", stderr: "pipe", timeout: 300_000 });
    const stderr = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) return stderr.trim().slice(-500) || `exit code ${child.exitCode}`;
    if ((await versionOf(name)) === CLAUDE_CODE_VERSION) return undefined;
    await rm(CACHE, { recursive: true, force: true });
    await rename(draft, CACHE).catch(async (error: unknown) => {
      // Another process was faster; its copy will do.
      if ((await versionOf(name)) !== CLAUDE_CODE_VERSION) throw error;
    });
    return undefined;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
