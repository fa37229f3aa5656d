import { Database as Sqlite } from "bun:sqlite";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, OperatorError } from "../shared/errors.ts";

/**
 * Locks a DATA_DIR for this process. The kernel releases the lock when the process ends, however it ends: an exclusive
 * transaction of SQLite is a POSIX file lock, the only kind that Bun offers without native code.
 * @returns a function that releases the lock.
 * @throws OperatorError when another process holds it or the folder cannot be created.
 */
export function lockDataDir(dataDir: string): () => void {
  const pidFile = join(dataDir, "lock.pid");
  let lock: Sqlite | undefined;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    lock = new Sqlite(join(dataDir, "lock"));
    lock.run("PRAGMA locking_mode = EXCLUSIVE");
    lock.run("BEGIN EXCLUSIVE");
    writeFileSync(pidFile, `${process.pid}\n`);
  } catch (error) {
    lock?.close();
    if ((error as { code?: string }).code === "SQLITE_BUSY")
      throw new OperatorError(inUse(dataDir, pidFile), 1, { cause: error });
    throw new OperatorError(`Cannot use DATA_DIR ${dataDir}: ${messageOf(error)}`, 1, { cause: error });
  }
  const held = lock;
  return () => held.close();
}

function inUse(dataDir: string, pidFile: string): string {
  let pid = "";
  try {
    pid = ` (${readFileSync(pidFile, "utf8").trim()})`;
  } catch {
    // The other process has not written it yet.
  }
  return `DATA_DIR ${dataDir} is in use by another process${pid}. Stop that one, or set another DATA_DIR, or set DATABASE_URL: only PostgreSQL can be shared.`;
}
