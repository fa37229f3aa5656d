import { accessSync, constants, type Dirent, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Bubblewrap arguments that hide, below these visible folders, what not everybody may read (keys, password hashes,
 * .env files). Whoever starts us is often root, and to the kernel the agent is the same user.
 * @param depth how many folders deep it looks.
 */
export function hidePrivate(folder: string, depth: number): string[] {
  return list(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory() && !entry.isFile()) return [];
    const mode = modeOf(path);
    // What we cannot read ourselves, the agent cannot either.
    if (mode === undefined || !readable(path)) return [];
    if ((mode & 0o004) === 0)
      return entry.isDirectory() ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path];
    return entry.isDirectory() && depth > 1 ? hidePrivate(path, depth - 1) : [];
  });
}

/**
 * /proc, of which what belongs to the machine is read-only and what is root's alone is hidden. Bubblewrap leaves
 * /proc/sys writable where root starts it: one line into kernel.core_pattern would run a program on the host.
 */
export function proc(): string[] {
  const covers = list("/proc").flatMap((entry) => {
    const path = join("/proc", entry.name);
    if (/^\d+$/.test(entry.name) || entry.isSymbolicLink()) return [];
    if (entry.isDirectory()) return ["--ro-bind-try", path, path];
    const mode = modeOf(path) ?? 0;
    if ((mode & 0o004) === 0) return ["--ro-bind-try", "/dev/null", path];
    return (mode & 0o222) === 0 ? [] : ["--ro-bind-try", path, path];
  });
  return ["--proc", "/proc", ...covers];
}

/** Our own data, wherever it lies: below /opt, or inside a folder that an agent's program needs. */
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
