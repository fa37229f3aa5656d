import { sleep } from "../shared/time.ts";

/** While the last slot is reserved, milliseconds between two claims, in case a wake-up was lost. */
const RECLAIM_MS = 1_000;

/**
 * The slots of one process, each for one run. The last free one of several is kept for users without a running prompt, so
 * that one user alone cannot occupy a process.
 */
export interface Slots {
  /**
   * Claims and runs prompts until none may run.
   * @param promptId the prompt whose job woke this process. If it may not have the last slot, its job is passed on once, for
   *   another process; this one then stays in the slot, so that it takes no more jobs of the kind, and waits for a user who
   *   may have it.
   */
  work(promptId: string): Promise<void>;
  /** Something was dispatched: whoever waits in the last slot looks again. */
  wake(): void;
  /** Ends after the present runs. */
  stop(): void;
}

export function createSlots<Run>(options: {
  total: number;
  claim: (lastSlot: boolean) => Promise<Run | "reserved" | undefined>;
  run: (run: Run) => Promise<unknown>;
  /** Dispatches a waiting prompt again. */
  passOn: (promptId: string) => Promise<unknown>;
  /** Default: 1,000. */
  reclaimMs?: number;
}): Slots {
  const { total, claim, run, passOn, reclaimMs = RECLAIM_MS } = options;
  const shutdown = new AbortController();
  let occupied = 0;
  let woken = Promise.withResolvers<void>();
  let previous: Promise<unknown> = Promise.resolve();

  /** One claim at a time, or several could each see another free slot. They would wait for each other in the database. */
  const claimInTurn = (): Promise<Run | "reserved" | undefined> => {
    const next = previous.then(async () => {
      const claimed = await claim(total > 1 && total - occupied === 1);
      if (claimed !== undefined && claimed !== "reserved") occupied += 1;
      return claimed;
    });
    previous = next.catch(() => undefined);
    return next;
  };

  return {
    async work(promptId) {
      for (let passedOn = false; !shutdown.signal.aborted; ) {
        const { promise: wake } = woken;
        const claimed = await claimInTurn();
        if (claimed === undefined) return;
        if (claimed !== "reserved") {
          await run(claimed).finally(() => {
            occupied -= 1;
          });
          continue;
        }
        if (!passedOn) await passOn(promptId);
        passedOn = true;
        const rest = new AbortController();
        const signal = AbortSignal.any([shutdown.signal, rest.signal]);
        await Promise.race([wake, sleep(reclaimMs, signal).catch(() => undefined)]);
        rest.abort();
      }
    },
    wake() {
      woken.resolve();
      woken = Promise.withResolvers();
    },
    stop: () => shutdown.abort(),
  };
}
