import { isRetryableDbError, type Orm } from "../db/client.ts";
import { MODEL_APIS } from "../db/columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";
import { createBatches } from "./batches.ts";
import {
  type CallBefore,
  type CallProgress,
  type CallResult,
  callBefore,
  cancelCalls,
  type Refusal,
  recordProgress,
  reserveCalls,
  settleCalls,
  type UnmadeCall,
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
  /** Not awaited: what is lost of it is counted as an estimate. @param call says how it stands when that is written. */
  progress(call: () => CallProgress): void;
  /** The call before an open one. Undefined: there is none, or it is not known now. */
  before(id: string): Promise<CallBefore | undefined>;
  /** Resolves when it is stored; retries while the database is away. */
  settle(call: CallResult): Promise<void>;
  /** How many calls wait for a turn. */
  waiting(): number;
  /** Waits for what is to be stored, for a limited time. */
  close(): Promise<void>;
}

/** Shorter than any client waits for an answer; who is then sent away comes again by itself. */
const LONGEST_WAIT_MS = 45_000;
/** How soon a place is seen that a call of another node has left. Who has not looked for three seconds has left the line: see its SQL. */
const LOOK_AGAIN_MS = 250;
/** The same while the API backs off. */
const LOOK_AT_MOST_MS = 2_000;
const LOOK_AT_LEAST_MS = 50;
const CLOSE_MS = 10_000;
/** Agents make their next call when one has ended: it is not kept waiting for that one to be settled. */
const SETTLE_MS = 20;
/** Many answers grow at a time, and nobody waits for what is recorded of it. */
const REPORT_MS = 200;

/**
 * @param options.orm commits without waiting for the disk: a call waits for its reservation, and no crash of a process loses it.
 * @param options.longestWaitMs default: 45 seconds.
 */
export function openLedger(options: { orm: Orm; logger: Logger; longestWaitMs?: number }): Ledger {
  const { orm, logger, longestWaitMs = LONGEST_WAIT_MS } = options;
  const closing = new AbortController();
  const isOfOne = (error: unknown) => !isRetryableDbError(error);
  const reservations = createBatches(async (calls: readonly WantedCall[]) => {
    const refused = await reserveCalls(orm, calls);
    return calls.map(({ id }) => refused.get(id));
  }, isOfOne);
  const settlements = createBatches(
    async (calls: readonly CallResult[]) => {
      await retryWhileUnavailable(closing.signal, () => settleCalls(orm, calls));
      return calls.map(() => undefined);
    },
    isOfOne,
    SETTLE_MS,
  );
  const cancellations = createBatches(async (calls: readonly UnmadeCall[]) => {
    await retryWhileUnavailable(closing.signal, () => cancelCalls(orm, calls));
    return calls.map(() => undefined);
  }, isOfOne);
  const reports = createBatches(
    async (calls: readonly (() => CallProgress)[]) => {
      await recordProgress(
        orm,
        calls.map((call) => call()),
      );
      return calls.map(() => undefined);
    },
    isOfOne,
    REPORT_MS,
  );
  let ended = Promise.withResolvers<void>();
  /** At most that time, or until a call of this process has ended; of others' calls nobody says so. */
  const pause = async (ms: number) => {
    const woken = new AbortController();
    await Promise.race([ended.promise, sleep(ms, woken.signal).catch(() => undefined)]);
    woken.abort();
  };
  const hasEnded = () => {
    ended.resolve();
    ended = Promise.withResolvers();
  };
  const lines = new Map(MODEL_APIS.map((api) => [api, createTurns(pause)]));
  /** Not awaited: should it fail, it is settled as lost when its run has ended. */
  const cancel = ({ id, api, userId }: WantedCall) => {
    const others = lines.get(api)?.waiting(userId) ?? 0;
    const unmade = { id, api, userId: others > 0 ? undefined : userId };
    cancellations.add(unmade).then(hasEnded, (error: unknown) => {
      logger.warn("a model call that was not made could not be cancelled", { error: messageOf(error) });
    });
  };
  /** @throws what `signal` aborted with; errors of the database. Then nothing stays reserved. */
  const tryOnce = async (call: WantedCall, signal: AbortSignal): Promise<Refusal | undefined> => {
    try {
      const refusal = await reservations.add(call);
      signal.throwIfAborted();
      return refusal;
    } catch (error) {
      // It may have been reserved: who wanted it has gone away meanwhile, or the answer was lost with the connection.
      cancel(call);
      if (!signal.aborted)
        logger.warn("what a model call may cost could not be reserved", { error: messageOf(error) });
      throw error;
    }
  };

  return {
    async reserve(call, signal) {
      const line = lines.get(call.api);
      const latest = Date.now() + longestWaitMs;
      let refusal: Refusal | undefined;
      /** Milliseconds until it may have a turn; undefined: it needs none. */
      const attempt = async () => {
        refusal = await tryOnce(call, signal);
        if (refusal?.why !== "busy" || Date.now() >= latest) return undefined;
        if (!refusal.until) return LOOK_AGAIN_MS;
        return Math.min(Math.max(refusal.until.getTime() - Date.now(), LOOK_AT_LEAST_MS), LOOK_AT_MOST_MS);
      };
      for (;;) {
        // Nobody overtakes those who wait.
        const waits = (line?.waiting() ?? 0) > 0 || (await attempt()) !== undefined;
        if (waits)
          await line?.take(call.userId, attempt, signal).catch((error: unknown) => {
            cancel(call);
            throw error;
          });
        if (refusal?.why !== "held" || Date.now() >= latest) return refusal;
        await pause(LOOK_AGAIN_MS);
      }
    },
    progress(call) {
      reports.add(call).catch((error: unknown) => {
        logger.warn("what a model call has used so far could not be recorded", { error: messageOf(error) });
      });
    },
    before: (id) => callBefore(orm, id).catch(() => undefined),
    async settle(call) {
      await settlements.add(call);
      hasEnded();
    },
    waiting: () => [...lines.values()].reduce((sum, line) => sum + line.waiting(), 0),
    async close() {
      const timer = setTimeout(() => closing.abort(new Error("This process is shutting down.")), CLOSE_MS);
      await Promise.all([settlements.idle(), cancellations.idle(), reports.idle()]);
      clearTimeout(timer);
    },
  };
}
