import { Database as Sqlite } from "bun:sqlite";
import { sleep } from "../../shared/time.ts";

/** Between two tries, milliseconds: removing what a failure left takes as long as removing a few files. */
const RETRY_MS = 25;

/**
 * Works in a store beside other processes on this DATA_DIR, none of which removes unfinished files meanwhile: nobody can tell
 * whose they are.
 * @throws what `work` threw; what `signal` aborted with.
 */
export const amongOthers = <T>(store: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
  locked(store, "shared", signal, work);

/** Works in a store while no other process does, for which it waits. @throws as `amongOthers` does. */
export const alone = <T>(store: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
  locked(store, "exclusive", signal, work);

async function locked<T>(
  store: string,
  kind: "shared" | "exclusive",
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  let unlock = lock(store, kind);
  while (!unlock) {
    await sleep(RETRY_MS, signal);
    unlock = lock(store, kind);
  }
  try {
    return await work();
  } finally {
    unlock();
  }
}

/** Works in a store while no other work begins there, or does nothing if any is in progress. */
export async function ifAlone(store: string, work: () => Promise<unknown>): Promise<void> {
  const unlock = lock(store, "exclusive");
  if (!unlock) return;
  try {
    await work();
  } finally {
    unlock();
  }
}

/**
 * A lock of SQLite's, in a file beside the store; the kernel releases it when the process ends, however it ends.
 * @returns undefined if it is taken.
 */
function lock(store: string, kind: "shared" | "exclusive"): (() => void) | undefined {
  const file = new Sqlite(`${store}.lock`);
  try {
    if (kind === "exclusive") file.run("BEGIN EXCLUSIVE");
    else {
      file.run("BEGIN");
      // Only reading takes the lock, and the transaction keeps it.
      file.run("SELECT * FROM sqlite_master");
    }
    return () => file.close();
  } catch (error) {
    file.close();
    if ((error as { code?: string }).code === "SQLITE_BUSY") return undefined;
    throw error;
  }
}
