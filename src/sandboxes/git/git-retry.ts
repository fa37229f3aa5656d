import { rm, stat } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { retry } from "../../shared/time.ts";
import { isLocked, RepositoryError } from "./git-errors.ts";

/** With a first pause of 100 ms, about three seconds in all. */
const TRIES = 6;
/** A killed git may leave several lock files at once; if there are more than this, something else is wrong. */
const MAX_STALE_LOCKS = 8;

/**
 * Retries git work that fails on a lock: other processes use the same store and hold its lock files briefly. A lock file
 * that is the same one through a whole round of tries is stale (a live git does not hold one for seconds): it is
 * removed, and a new round begins. `retry` runs one round; removing locks between rounds is not something it does.
 * @param options.store only lock files below this folder are removed,
 * @param options.own and this one, which nobody else uses.
 * @param options.when which errors to retry; default: those caused by a lock.
 * @param options.firstMs the first pause; each one is twice as long as the one before.
 * @throws the last error; what `signal` aborted with, at once, even during a pause.
 */
export async function retryOnLock<T>(
  work: () => Promise<T>,
  options: {
    store: string;
    own?: string | undefined;
    signal: AbortSignal;
    when?: (error: RepositoryError) => boolean;
    firstMs?: number;
  },
): Promise<T> {
  const { store, own, signal, when = ({ message }) => isLocked(message), firstMs = 100 } = options;
  for (let removed = 0; ; removed += 1) {
    let first: Promise<Lock | undefined> | undefined;
    try {
      return await retry(work, {
        tries: TRIES,
        firstMs,
        signal,
        when: (error) => error instanceof RepositoryError && when(error),
        onFailure: (error) => {
          first ??= findLock(error.message, store, own);
        },
      });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RepositoryError) || !when(error) || removed === MAX_STALE_LOCKS) throw error;
      const lock = await findLock(error.message, store, own);
      if (!lock || lock.id !== (await first)?.id) throw error;
      await rm(lock.path, { force: true });
    }
  }
}

interface Lock {
  path: string;
  /** Differs from that of any later lock file at the same path. */
  id: string;
}

/** The lock file that git reported, if it is below `store`, or the one that may be removed elsewhere, and still exists. */
async function findLock(output: string, store: string, own: string | undefined): Promise<Lock | undefined> {
  const named = /Unable to create '(.+?\.lock)': File exists/i.exec(output)?.[1];
  if (named === undefined) return undefined;
  const path = own !== undefined && isSame(named, own) ? own : resolve(named);
  if (path !== own && !path.startsWith(`${resolve(store)}${sep}`)) return undefined;
  const found = await stat(path).catch(() => undefined);
  return found && { path, id: `${path} ${found.ino} ${found.mtimeMs}` };
}

/** In messages about a repository of this machine stands its name, not its git folder. */
function isSame(named: string, own: string): boolean {
  const inRefs = (path: string) => /\/(refs\/.+)$/.exec(path)?.[1];
  return inRefs(named) === inRefs(own);
}
