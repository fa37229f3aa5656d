/** Work on single things that is done for many at once. */
export interface Batches<Item, Result> {
  /** @throws what the work threw for the batch. */
  add(item: Item): Promise<Result>;
  /** Resolves when all that was added has been worked on. */
  idle(): Promise<void>;
}

/** What one statement takes at most; its time is what others wait. */
const MOST_ITEMS = 200;

/**
 * While one statement is under way, what comes in waits for the next: alone nothing waits, and a hundred at once are one or two.
 * @param work in the order in which the items came.
 */
export function createBatches<Item, Result>(
  work: (items: readonly Item[]) => Promise<readonly Result[]>,
): Batches<Item, Result> {
  let waiting: { item: Item; done: PromiseWithResolvers<Result> }[] = [];
  let running: Promise<void> | undefined;
  const run = async () => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MOST_ITEMS);
      waiting = waiting.slice(MOST_ITEMS);
      try {
        const results = await work(batch.map(({ item }) => item));
        for (const [index, { done }] of batch.entries()) done.resolve(results[index] as Result);
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    running = undefined;
  };
  return {
    add(item) {
      const done = Promise.withResolvers<Result>();
      waiting.push({ item, done });
      running ??= run();
      return done.promise;
    },
    async idle() {
      while (running) await running;
    },
  };
}
