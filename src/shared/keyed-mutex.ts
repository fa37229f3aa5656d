import PQueue from "p-queue";

/** Runs pieces of work with the same key one at a time, in order; others side by side. */
export type KeyedMutex = <T>(key: string, work: () => Promise<T>) => Promise<T>;

/** One for the callers that must exclude each other, within this process. */
export function createKeyedMutex(): KeyedMutex {
  const queues = new Map<string, PQueue>();
  return async (key, work) => {
    let queue = queues.get(key);
    if (!queue) {
      queue = new PQueue({ concurrency: 1 });
      queues.set(key, queue);
    }
    try {
      return await queue.add(work);
    } finally {
      if (queue.size === 0 && queue.pending === 0 && queues.get(key) === queue) queues.delete(key);
    }
  };
}
