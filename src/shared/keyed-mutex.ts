import PQueue from "p-queue";

/**
 * Serializes work per key; work of different keys runs concurrently.
 * @param signal ends the waiting for the key; work that has begun keeps it until it ends.
 * @throws what `signal` aborted with.
 */
export type KeyedMutex = <T>(key: string, work: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

/** Create one per resource; it excludes only callers in this process. */
export function createKeyedMutex(): KeyedMutex {
  const queues = new Map<string, PQueue>();
  return async (key, work, signal) => {
    signal?.throwIfAborted();
    let queue = queues.get(key);
    if (!queue) {
      queue = new PQueue({ concurrency: 1 });
      queues.set(key, queue);
    }
    // Not the caller's signal itself: p-queue would start the next work while an aborted one still runs.
    const waiting = new AbortController();
    const leave = () => waiting.abort(signal?.reason);
    signal?.addEventListener("abort", leave, { once: true });
    const begin = () => {
      signal?.removeEventListener("abort", leave);
      return work();
    };
    try {
      return await queue.add(begin, { signal: waiting.signal });
    } finally {
      signal?.removeEventListener("abort", leave);
      if (queue.size === 0 && queue.pending === 0 && queues.get(key) === queue) queues.delete(key);
    }
  };
}
