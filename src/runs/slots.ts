import { sleep } from "../shared/time.ts";
import type { Held } from "./claim.ts";
import type { Offers } from "./offers.ts";

/** While the last slot is reserved, milliseconds between two claims, in case a wake-up was lost. */
const RECLAIM_MS = 1_000;

/**
 * The slots of one process, each for one run. The last free one of several is kept for users without a running prompt, so
 * that one user alone cannot occupy a process.
 */
export interface Slots {
  /**
   * Claims and runs prompts until none may run. While the next prompt is held back for another machine, it waits without a
   * slot. The queue brings no more jobs meanwhile than there are slots: the rest is for other processes.
   * @param promptId the prompt whose job woke this process. If it may not have the last slot, or none is free, its job is
   *   passed on once, for another process; this one then stays, so that it takes no more jobs of the kind, and waits for a
   *   user who may have the slot.
   */
  work(promptId: string): Promise<void>;
  /**
   * The next prompt of a session that is warm on this machine may start: claims and runs like `work`, or declines.
   * Resolves when what it has started has ended.
   */
  offer(sessionId: string): Promise<void>;
  /** Something was dispatched: whoever waits looks again. */
  wake(): void;
  /**
   * The same, where no other process could start it: claims and runs like `work`, without waiting for its job. Resolves when
   * what it has started has ended.
   */
  start(): Promise<void>;
  /** Ends after the present runs. Resolves when those that began without a job have ended. */
  stop(): Promise<void>;
}

export function createSlots<Run>(options: {
  total: number;
  claim: (lastSlot: boolean) => Promise<Run | "reserved" | Held | undefined>;
  run: (run: Run) => Promise<unknown>;
  sessionOf: (run: Run) => string;
  /** Dispatches a waiting prompt again. */
  passOn: (promptId: string) => Promise<unknown>;
  offers: Offers;
  /** Default: 1,000. */
  reclaimMs?: number;
}): Slots {
  const { total, claim, run, sessionOf, passOn, offers, reclaimMs = RECLAIM_MS } = options;
  const shutdown = new AbortController();
  const withoutJob = new Set<Promise<void>>();
  let occupied = 0;
  let woken = Promise.withResolvers<void>();
  let held: Promise<void> | undefined;
  let previous: Promise<unknown> = Promise.resolve();

  const sleepUnless = async (wake: Promise<void>, ms: number): Promise<void> => {
    const rest = new AbortController();
    const signal = AbortSignal.any([shutdown.signal, rest.signal]);
    await Promise.race([wake, sleep(ms, signal).catch(() => undefined)]);
    rest.abort();
  };

  const claimNow = async (): Promise<Claimed<Run>> => {
    if (held) return { state: "held", over: held };
    const { promise: wake } = woken;
    const claimed = occupied < total ? await claim(total > 1 && total - occupied === 1) : "reserved";
    if (claimed === undefined) {
      offers.clear();
      return { state: "none" };
    }
    if (isHeld(claimed)) {
      // Until then the others of this process would be told the same.
      held = sleepUnless(wake, claimed.heldMs).finally(() => {
        held = undefined;
      });
      return { state: "held", over: held };
    }
    if (claimed !== "reserved") {
      occupied += 1;
      offers.started(sessionOf(claimed));
    }
    if (claimed === "reserved" || occupied === total) offers.declineAll();
    return claimed === "reserved" ? { state: "reserved", wake } : { state: "run", run: claimed };
  };

  /** One claim at a time, or several could each see another free slot. They would wait for each other in the database. */
  const claimInTurn = (): Promise<Claimed<Run>> => {
    const next = previous.then(claimNow);
    previous = next.catch(() => undefined);
    return next;
  };

  /** @param promptId whose job it is. Undefined: it begins without one. */
  const work = async (promptId?: string): Promise<void> => {
    for (let passedOn = false; !shutdown.signal.aborted; ) {
      const claimed = await claimInTurn();
      if (claimed.state === "none") return;
      if (claimed.state === "held") await claimed.over;
      if (claimed.state === "run")
        await run(claimed.run).finally(() => {
          occupied -= 1;
          offers.ended(sessionOf(claimed.run));
        });
      if (claimed.state === "reserved") {
        if (promptId === undefined) return;
        if (!passedOn) await passOn(promptId);
        passedOn = true;
        await sleepUnless(claimed.wake, reclaimMs);
      }
    }
  };

  const workWithoutJob = async (): Promise<void> => {
    const working = work();
    withoutJob.add(working);
    await working.finally(() => withoutJob.delete(working));
  };

  return {
    work,
    async offer(sessionId) {
      if (shutdown.signal.aborted) return;
      offers.add(sessionId);
      await workWithoutJob();
    },
    start: workWithoutJob,
    wake() {
      woken.resolve();
      woken = Promise.withResolvers();
    },
    async stop() {
      shutdown.abort();
      await Promise.allSettled(withoutJob);
    },
  };
}

type Claimed<Run> =
  | { state: "run"; run: Run }
  /** Nothing may run now. */
  | { state: "none" }
  | { state: "held"; over: Promise<void> }
  /** The free slot, if there is one, is for others. */
  | { state: "reserved"; wake: Promise<void> };

const isHeld = (claimed: unknown): claimed is Held =>
  typeof claimed === "object" && claimed !== null && "heldMs" in claimed;
