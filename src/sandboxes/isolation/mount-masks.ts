import { accessSync, constants, type Dirent, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Bubblewrap arguments that hide files below a visible folder which are not world-readable (keys, password hashes,
 * .env files). The service often runs as root, and to the kernel the agent is the same user.
 * @param depth how many levels of folders to search.
 */
export function hidePrivate(folder: string, depth: number): string[] {
  return list(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory() && !entry.isFile()) return [];
    const mode = modeOf(path);
    // What the service cannot read, the agent cannot read either.
    if (mode === undefined || !readable(path)) return [];
    if ((mode & 0o004) === 0)
      return entry.isDirectory() ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path];
    return entry.isDirectory() && depth > 1 ? hidePrivate(path, depth - 1) : [];
  });
}

/**
 * Bubblewrap arguments for a /proc whose machine-wide files are read-only, or hidden where only root may read them.
 * Bubblewrap leaves /proc/sys writable when root starts it: one line in kernel.core_pattern would run a program on the
 * host.
 */
export function proc(): string[] {
  const masks = list("/proc").flatMap((entry) => {
    const path = join("/proc", entry.name);
    if (/^\d+$/.test(entry.name) || entry.isSymbolicLink()) return [];
    if (entry.isDirectory()) return ["--ro-bind-try", path, path];
    const mode = modeOf(path) ?? 0;
    if ((mode & 0o004) === 0) return ["--ro-bind-try", "/dev/null", path];
    return (mode & 0o222) === 0 ? [] : ["--ro-bind-try", path, path];
  });
  return ["--proc", "/proc", ...masks];
}

/** Hides DATA_DIR if it lies in a visible folder: below /opt, or in a folder that an agent's program needs. */
export function hideData(dataDir: string, visible: readonly string[]): string[] {
  const shown = visible.some((root) => dataDir === root || dataDir.startsWith(`${root}/`));
  return shown && existsSync(dataDir) ? ["--tmpfs", dataDir] : [];
}

function list(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function modeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mode;
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
