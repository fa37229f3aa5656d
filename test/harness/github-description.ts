import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Json } from "./openapi-schemas.ts";

/** GitHub's own OpenAPI descriptions. Installed, the package takes 385 MB: what is used of it is unpacked alone. */
const PACKAGE = "@octokit/openapi";
const VERSION = "23.0.2";
const SHA512 = "pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==";
const DESCRIPTIONS = ["api.github.com", "ghes-3.17"] as const;
export type GithubDescription = (typeof DESCRIPTIONS)[number];

const CACHE = resolve(import.meta.dir, "../../.cache/github-openapi", VERSION);
const fileOf = (name: GithubDescription) => join(CACHE, "package/generated", `${name}.json`);

/** Downloads them to .cache/github-openapi, once (28 MB). @throws when that fails. */
export async function downloadGithubDescriptions(): Promise<void> {
  if (DESCRIPTIONS.every((name) => existsSync(fileOf(name)))) return;
  const folder = await mkdtemp(join(tmpdir(), "pb-openapi-"));
  try {
    const packed = await output([
      "npm",
      "pack",
      `${PACKAGE}@${VERSION}`,
      "--silent",
      "--pack-destination",
      folder,
    ]);
    const archive = join(folder, packed.trim());
    const hash = new Bun.CryptoHasher("sha512").update(await Bun.file(archive).bytes()).digest("base64");
    if (hash !== SHA512) throw new Error(`${PACKAGE}@${VERSION} has another content than the pinned one`);
    await mkdir(CACHE, { recursive: true });
    // Beside the cache, and renamed: concurrent test processes never see a part of it.
    const draft = await mkdtemp(`${CACHE}.`);
    await output([
      "tar",
      "-xzf",
      archive,
      "-C",
      draft,
      ...DESCRIPTIONS.map((name) => `package/generated/${name}.json`),
    ]);
    await rm(CACHE, { recursive: true, force: true });
    await rename(draft, CACHE).catch(() => rm(draft, { recursive: true, force: true }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One of those that were downloaded. */
export const githubDescription = (name: GithubDescription): Promise<Json> => Bun.file(fileOf(name)).json();

async function output(argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...argv], { stdout: "pipe", stderr: "pipe", timeout: 300_000 });
  const [out, problem] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) === 0) return out;
  throw new Error(`GitHub's API description could not be had: ${argv[0]}: ${problem.trim().slice(-500)}`);
}
