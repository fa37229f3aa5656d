import { isAway } from "./client.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Writes although the database is away for a while: tries again until it is back, or until `signal` aborts (the lease
 * is lost by then). Whatever else goes wrong is thrown at once.
 */
export async function persistently<T>(signal: AbortSignal, write: () => Promise<T>): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await write();
    } catch (error) {
      signal.throwIfAborted();
      if (!isAway(error)) throw error;
      await Bun.sleep(pause);
      signal.throwIfAborted();
    }
  }
}
