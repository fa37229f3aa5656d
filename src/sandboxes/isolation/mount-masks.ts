import { accessSync, constants, type Dirent, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { inSystem } from "./system-mounts.ts";

/** Folders that are searched for secrets, and how many levels deep. */
const PRIVATE = { "/opt": 3, "/usr/local": 3 };
/** The search blocks the event loop for milliseconds, and new secrets are rare. */
const MAX_AGE_MS = 30_000;

/**
 * Bubblewrap arguments that hide what file permissions do not.
 *
 * Where programs run as host users of their own, permissions hide everything: files deeper than any search, and files
 * made or replaced during a run, too. Otherwise the kernel takes the program for the service's own user, and what only
 * that user may read is hidden by mounts, as far as it is found before the start: keep secrets out of /opt and /usr/local,
 * or start the service as root. So it is where git works on a repository of root's, as root. Files of DATA_DIR and home
 * directories are not mounted in either case.
 */
export function createMasks(options: {
  ownUser: boolean;
  root: boolean;
}): (uid: number) => readonly string[] {
  let masks: readonly string[] = [];
  let searchedAt = Number.NEGATIVE_INFINITY;
  return (uid) => {
    if (options.ownUser && uid !== 0) return [];
    if (performance.now() - searchedAt > MAX_AGE_MS) {
      masks = [
        ...Object.entries(PRIVATE).flatMap(([folder, depth]) => hidePrivate(folder, depth)),
        ...(options.root ? kernelFiles() : []),
      ];
      searchedAt = performance.now();
    }
    return masks;
  };
}

/** Hides files below a visible folder which are not world-readable: keys, password hashes, .env files. */
function hidePrivate(folder: string, depth: number): string[] {
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
 * Makes /proc read-only, and hides the machine-wide files in it that only root may read. Bubblewrap leaves /proc/sys
 * writable when root starts it: one line in kernel.core_pattern would run a program on the host.
 */
function kernelFiles(): string[] {
  const hidden = list("/proc").flatMap((entry) => {
    const path = join("/proc", entry.name);
    return entry.isFile() && ((modeOf(path) ?? 0) & 0o004) === 0 ? ["--ro-bind-try", "/dev/null", path] : [];
  });
  return [...hidden, "--remount-ro", "/proc"];
}

/** Hides DATA_DIR if it lies in a folder of the system: below /opt. */
export function hideData(dataDir: string): string[] {
  return inSystem(dataDir) && existsSync(dataDir) ? ["--tmpfs", dataDir] : [];
}

/**
 * Makes the folders read-only that these arguments have hidden: they are file systems in memory, which an ordinary user's
 * program owns, and nothing bounds their size. Until then they may hold mount points.
 * @param later where something was mounted afterwards: what it covers is not there any more.
 */
export function sealMasks(masks: readonly string[], later: readonly string[] = []): string[] {
  const hidden = masks.filter((_, index) => masks[index - 1] === "--tmpfs");
  const isCovered = (path: string, index: number) =>
    [...hidden.slice(index + 1), ...later].some((one) => path === one || path.startsWith(`${one}/`));
  return hidden.flatMap((path, index) => (isCovered(path, index) ? [] : ["--remount-ro", path]));
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
