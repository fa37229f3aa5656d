import { rm, stat } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { RepositoryError } from "../sandbox.ts";
import { isLocked } from "./git-errors.ts";

/** With a first pause of 100 ms, some three seconds in all. */
const TRIES = 6;
/** Files that a killed git may have left at once; more of them is something else. */
const MOST_LEFT_BEHIND = 8;

/**
 * Tries again what fails for a moment, with growing pauses (`firstMs`, doubled each time): other processes work in the same
 * store, and hold its lock files for moments. A lock file that is the same through all tries was left behind by a git
 * that was killed (no living one holds one for seconds): it is removed.
 * @param options.store the folder that lock files are removed from.
 * @param options.passes by default what finds something locked.
 */
export async function patiently<T>(
  work: () => Promise<T>,
  options: { store: string; passes?: (error: RepositoryError) => boolean; firstMs?: number },
): Promise<T> {
  const { store, passes = ({ message }) => isLocked(message), firstMs = 100 } = options;
  let first: Lock | undefined;
  for (let tries = 1, removed = 0; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof RepositoryError) || !passes(error)) throw error;
      const lock = await lockOf(error.message, store);
      if (tries === 1) first = lock;
      if (tries < TRIES) {
        await Bun.sleep(firstMs * 2 ** (tries - 1));
        continue;
      }
      if (!lock || lock.id !== first?.id || removed === MOST_LEFT_BEHIND) throw error;
      await rm(lock.path, { force: true });
      removed += 1;
      tries = 0;
    }
  }
}

interface Lock {
  path: string;
  /** Another one at the same path has another. */
  id: string;
}

/** The lock file that git found in its way, if it is below `store` and still there. */
async function lockOf(said: string, store: string): Promise<Lock | undefined> {
  const named = /Unable to create '(.+?\.lock)': File exists/i.exec(said)?.[1];
  if (named === undefined) return undefined;
  const path = resolve(named);
  if (!path.startsWith(`${resolve(store)}${sep}`)) return undefined;
  const found = await stat(path).catch(() => undefined);
  return found && { path, id: `${path} ${found.ino} ${found.mtimeMs}` };
}
