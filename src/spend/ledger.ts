import type { Orm } from "../db/client.ts";
import { MODEL_APIS } from "../db/columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";
import { createBatches } from "./batches.ts";
import { NO_TOKENS } from "./prices.ts";
import {
  type CallProgress,
  type CallResult,
  type Refusal,
  recordProgress,
  reserveCalls,
  settleCalls,
  type WantedCall,
} from "./store.ts";
import { createTurns } from "./turns.ts";

/** The calls of this process, in the database: reserved before they are made, and settled after. */
export interface Ledger {
  /**
   * Reserves what a call may cost. Waits, for a limited time, while its API takes no more calls, or other calls hold the money.
   * @returns undefined: it may be made, and must be settled. @throws what `signal` aborted with; errors of the database: then it
   * must not be made.
   */
  reserve(call: WantedCall, signal: AbortSignal): Promise<Refusal | undefined>;
  /** Not awaited: what is lost of it is counted as an estimate. */
  progress(call: CallProgress): void;
  /** Resolves when it is stored; retries while the database is away. */
  settle(call: CallResult): Promise<void>;
  /** How many calls wait for a turn. */
  waiting(): number;
  /** Waits for what is to be stored, for a limited time. */
  close(): Promise<void>;
}

/** Shorter than any client waits for an answer; who is then sent away comes again by itself. */
const LONGEST_WAIT_MS = 45_000;
/** How soon a place is seen that a call of another node has left. */
const LOOK_AGAIN_MS = 250;
const CLOSE_MS = 10_000;

/** @param orm commits without waiting for the disk: a call waits for its reservation, and no crash of a process loses it. */
export function openLedger({ orm, logger }: { orm: Orm; logger: Logger }): Ledger {
  const closing = new AbortController();
  const reservations = createBatches(async (calls: readonly WantedCall[]) => {
    const refused = await reserveCalls(orm, calls);
    return calls.map(({ id }) => refused.get(id));
  });
  const settlements = createBatches(async (calls: readonly CallResult[]) => {
    await retryWhileUnavailable(closing.signal, () => settleCalls(orm, calls));
    return calls.map(() => undefined);
  });
  const reports = createBatches(async (calls: readonly CallProgress[]) => {
    await recordProgress(orm, calls);
    return calls.map(() => undefined);
  });
  let ended = Promise.withResolvers<void>();
  /** At most that time, or until a call of this process has ended; of others' calls nobody says so. */
  const pause = async (ms: number) => {
    const woken = new AbortController();
    const time = Math.min(Math.max(ms, 1), LOOK_AGAIN_MS);
    await Promise.race([ended.promise, sleep(time, woken.signal).catch(() => undefined)]);
    woken.abort();
  };
  const settle = async (call: CallResult) => {
    await settlements.add(call);
    ended.resolve();
    ended = Promise.withResolvers();
  };
  const lines = new Map(MODEL_APIS.map((api) => [api, createTurns(pause)]));

  return {
    async reserve(call, signal) {
      const line = lines.get(call.api);
      const latest = Date.now() + LONGEST_WAIT_MS;
      let refusal: Refusal | undefined;
      /** Milliseconds until it may have a turn; undefined: it needs none. */
      const attempt = async () => {
        refusal = await reservations.add(call);
        if (signal.aborted && !refusal) await settle(unmade(call));
        signal.throwIfAborted();
        if (refusal?.why !== "busy" || Date.now() >= latest) return undefined;
        return refusal.until ? refusal.until.getTime() - Date.now() : LOOK_AGAIN_MS;
      };
      for (;;) {
        // Nobody overtakes those who wait.
        const waits = (line?.waiting() ?? 0) > 0 || (await attempt()) !== undefined;
        if (waits) await line?.take(call.userId, attempt, signal);
        if (refusal?.why !== "held" || Date.now() >= latest) return refusal;
        await pause(LOOK_AGAIN_MS);
      }
    },
    progress(call) {
      reports.add(call).catch((error: unknown) => {
        logger.warn("what a model call has used so far could not be recorded", { error: messageOf(error) });
      });
    },
    settle,
    waiting: () => [...lines.values()].reduce((sum, line) => sum + line.waiting(), 0),
    async close() {
      const timer = setTimeout(() => closing.abort(new Error("This process is shutting down.")), CLOSE_MS);
      await Promise.all([settlements.idle(), reports.idle()]);
      clearTimeout(timer);
    },
  };
}

/** Who wanted it has gone away meanwhile. */
const unmade = (call: WantedCall): CallResult => ({
  ...call,
  ...{ status: "failed", httpStatus: undefined, tokens: NO_TOKENS, cost: 0, estimated: false },
  ...{ firstOutputMs: undefined, durationMs: undefined, startedAt: undefined },
  ...{ overloaded: false, retryAfterMs: undefined },
});
