import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface PinnedPackage {
  name: string;
  version: string;
}

/**
 * Installs a package in `folder`, unless that version is there, from the registry that this machine is configured for. The
 * packages' own scripts do not run. It installs beside the folder and renames: concurrent test processes never see a partial
 * installation.
 * @returns why it is not there, if it could not be installed.
 */
export async function installPinned(folder: string, wanted: PinnedPackage): Promise<string | undefined> {
  if (await isInstalled(folder, wanted)) return undefined;
  return install(folder, wanted).catch((error: unknown) => String(error));
}

/** The suffix of packages with a native program, as npm packages name platforms. */
export function platformSuffix(): string {
  const architecture = process.arch === "arm64" ? "aarch64" : "x86_64";
  const musl = process.platform === "linux" && existsSync(`/lib/ld-musl-${architecture}.so.1`);
  return `${process.platform}-${process.arch}${musl ? "-musl" : ""}`;
}

async function isInstalled(folder: string, { name, version }: PinnedPackage): Promise<boolean> {
  try {
    const text = await readFile(join(folder, "node_modules", name, "package.json"), "utf8");
    return (JSON.parse(text) as { version?: string }).version === version;
  } catch {
    return false;
  }
}

async function install(folder: string, wanted: PinnedPackage): Promise<string | undefined> {
  const draft = `${folder}.${process.pid}`;
  await mkdir(draft, { recursive: true });
  try {
    await writeFile(join(draft, "package.json"), '{"private":true}');
    const what = `${wanted.name}@${wanted.version}`;
    const npm = Bun.which("npm");
    const argv = npm
      ? [npm, "install", "--prefix", draft, "--no-save", "--no-package-lock", "--ignore-scripts", what]
      : [process.execPath, "add", "--cwd", draft, "--ignore-scripts", what];
    const child = Bun.spawn(argv, { stdout: "ignore", stderr: "pipe", timeout: 300_000 });
    const stderr = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) return reasonIn(stderr) || `exit code ${child.exitCode}`;
    if (await isInstalled(folder, wanted)) return undefined;
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder).catch(async (error: unknown) => {
      // Another process was faster; its copy will do.
      if (!(await isInstalled(folder, wanted))) throw error;
    });
    return undefined;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** npm says first what went wrong, then where in its own code. */
function reasonIn(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.replace(/^npm (?:error|ERR!)\s*/, ""));
  return lines
    .filter((line) => !/^(?:at |npm warn)/i.test(line.trim()))
    .join(" ")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 300);
}
