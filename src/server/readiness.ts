import type { Orm } from "../db/client.ts";
import { SILENT_AFTER_S, silentTasks } from "../db/heartbeats.ts";
import { AppError } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";

/** @throws AppError `not_ready` with what is missing. */
export type Readiness = () => Promise<void>;

/** Of each check; the checks run at the same time. */
const TIMEOUT_MS = 2_000;

/**
 * Checks what requests need: the database, the queue, the issuer's keys, and the tasks that any process ran within the last
 * day and did not shut down gracefully; and whether agents may run. An issuer that is away is not missing while its keys
 * are known: this process serves everybody meanwhile.
 * @param options.queueAlive rejects while the queue cannot be reached; undefined where the queue is the database.
 */
export function createReadiness(options: {
  orm: Orm;
  queueAlive: (() => Promise<unknown>) | undefined;
  /** Rejects while no token can be verified; undefined where no issuer is needed for that. */
  keysKnown?: (() => Promise<unknown>) | undefined;
  /** Why agents must not run in this process. */
  refusal?: (() => Promise<string | undefined>) | undefined;
  timeoutMs?: number;
}): Readiness {
  const { orm, queueAlive, keysKnown, refusal, timeoutMs = TIMEOUT_MS } = options;
  const inTime = <T>(work: Promise<T>) => withTimeout(timeoutMs, work, `no answer within ${timeoutMs} ms`);

  return async () => {
    const [tasks, queue, keys, refused] = await Promise.allSettled([
      inTime(silentTasks(orm, SILENT_AFTER_S)),
      inTime(Promise.resolve(queueAlive?.())),
      inTime(Promise.resolve(keysKnown?.())),
      inTime(Promise.resolve(refusal?.())),
    ]);
    const problems =
      tasks.status === "rejected"
        ? ["the database does not answer"]
        : tasks.value.map(
            ({ task, seconds }) =>
              `the task ${task} has not been seen for ${seconds} s (is its process running?)`,
          );
    if (queue.status === "rejected") problems.push("the queue does not answer");
    if (keys.status === "rejected") problems.push("the identity provider's keys cannot be fetched");
    if (refused.status === "rejected") problems.push("the isolation of agents could not be checked");
    else if (refused.value) problems.push(refused.value);
    if (problems.length > 0) throw new AppError("not_ready", `Not ready: ${problems.join("; ")}.`);
  };
}
