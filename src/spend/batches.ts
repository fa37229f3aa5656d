/** Work on single things that is done for many at once. */
export interface Batches<Item, Result> {
  /** @throws what the work threw for the batch. */
  add(item: Item): Promise<Result>;
  /** Resolves when all that was added has been worked on. */
  idle(): Promise<void>;
}

/** What one statement takes at most; its time is what others wait. */
const MOST_ITEMS = 200;

interface Waiting<Item, Result> {
  item: Item;
  done: PromiseWithResolvers<Result>;
}

/**
 * While one statement is under way, what comes in waits for the next: alone nothing waits, and a hundred at once are one or two.
 * @param work in the order in which the items came.
 * @param isOfOne whether an error can be the fault of one item: then the others are worked on without it.
 * @param lingerMs how long it waits for others to come along; default: what is added at the same moment does.
 */
export function createBatches<Item, Result>(
  work: (items: readonly Item[]) => Promise<readonly Result[]>,
  isOfOne: (error: unknown) => boolean,
  lingerMs?: number,
): Batches<Item, Result> {
  let waiting: Waiting<Item, Result>[] = [];
  let running: Promise<void> | undefined;
  const workOn = async (batch: readonly Waiting<Item, Result>[]): Promise<void> => {
    try {
      const results = await work(batch.map(({ item }) => item));
      for (const [index, { done }] of batch.entries()) done.resolve(results[index] as Result);
    } catch (error) {
      if (batch.length > 1 && isOfOne(error)) for (const one of batch) await workOn([one]);
      else for (const { done } of batch) done.reject(error);
    }
  };
  const run = async () => {
    while (waiting.length > 0) {
      await (lingerMs === undefined ? Promise.resolve() : Bun.sleep(lingerMs));
      const batch = waiting.slice(0, MOST_ITEMS);
      waiting = waiting.slice(MOST_ITEMS);
      await workOn(batch);
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
