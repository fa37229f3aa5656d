import { chmodSync, type Dirent, lstatSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";

const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
/** What programs in sandboxes, which are other users, must enter; DATA_DIR itself is closed. */
const SHARED = new Set(["sandboxes", "repos", "git", "sandbox-etc"]);
/** Closed, but not walked through: whoever cannot enter it reaches nothing in it, and it has a folder for each session. */
const OF_SESSIONS = "conversations";
const MAX_ENTRIES = 50_000;

/**
 * Makes DATA_DIR this user's alone, and tightens what earlier versions wrote there with the machine's umask: database, keys
 * and logs were readable by everybody wherever DATA_DIR had been made for all.
 * Root may own it, as volumes of Kubernetes and NFS do: root can change everything anyway.
 * @throws OperatorError if it belongs to another user, who could change everything in it.
 */
export function closeDataDir(options: { dataDir: string; logger: Logger; own?: number | undefined }): void {
  const { dataDir, logger, own = process.getuid?.() } = options;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new OperatorError(`Cannot use DATA_DIR ${dataDir}: ${messageOf(error)}`, 1, { cause: error });
  }
  const { uid, mode } = statSync(dataDir);
  const roots = own !== 0 && uid === 0;
  if (own !== undefined && uid !== own && !roots)
    throw new OperatorError(
      `DATA_DIR ${dataDir} belongs to another user (${uid}), who could change what is in it. Give it to the user of the service (chown -R ${own}), or set another DATA_DIR.`,
    );
  let entries = 0;
  let tightened = 0;
  const tighten = (path: string, found: number) => {
    if ((found & OTHERS) === 0) return;
    try {
      chmodSync(path, found & 0o7777 & ~OTHERS);
      tightened += 1;
    } catch (error) {
      // Some file systems have no modes.
      logger.warn("a file in DATA_DIR is open to other users", { path, error: messageOf(error) });
    }
  };
  const walk = (folder: string, skip: ReadonlySet<string>) => {
    for (const entry of list(folder)) {
      entries += 1;
      if (entries > MAX_ENTRIES) return;
      if (skip.has(entry.name) || entry.isSymbolicLink()) continue;
      const path = join(folder, entry.name);
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (!found) continue;
      tighten(path, found.mode);
      if (entry.isDirectory() && entry.name !== OF_SESSIONS) walk(path, new Set());
    }
  };
  // By its group this user may have access to a volume of root's.
  if (!roots) tighten(dataDir, mode);
  else if ((mode & OTHERS_WRITE) !== 0)
    logger.warn("DATA_DIR belongs to root, and its group or others may change what is in it", {
      data_dir: dataDir,
      mode: mode.toString(8),
    });
  if (tightened > 0)
    logger.warn("DATA_DIR was open to other users and is closed now", {
      data_dir: dataDir,
      mode: mode.toString(8),
    });
  walk(dataDir, SHARED);
}

function list(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
