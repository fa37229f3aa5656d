import type { Orm } from "../db/client.ts";
import { SILENT_AFTER_S, silentTasks } from "../db/heartbeats.ts";
import { AppError } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";
import type { ReadinessCheck } from "../system/model.ts";

/** What requests need, each checked. Never rejects. */
export type Readiness = () => Promise<ReadinessCheck[]>;

/** Of each check; the checks run at the same time. */
const TIMEOUT_MS = 2_000;

/**
 * Checks what requests need: the database, the queue, the issuer's keys, and the tasks that any process ran within the last
 * day and did not shut down gracefully; and whether agents may run. An issuer that is away is not missing while its keys
 * are known: this process serves everybody meanwhile. What this process does not need is not among the checks, nor are the
 * tasks while the database is away, which knows of them.
 * @param options.queueAlive rejects while the queue cannot be reached; undefined where the queue is the database.
 */
export function createReadiness(options: {
  orm: Orm;
  queueAlive: (() => Promise<unknown>) | undefined;
  /** Rejects while no token can be verified; undefined where no issuer is needed for that. */
  keysKnown?: (() => Promise<unknown>) | undefined;
  /** Why agents must not run in this process; undefined where it runs none. */
  refusal?: (() => Promise<string | undefined>) | undefined;
  timeoutMs?: number;
}): Readiness {
  const { orm, queueAlive, keysKnown, refusal, timeoutMs = TIMEOUT_MS } = options;
  const inTime = <T>(work: Promise<T>) => withTimeout(timeoutMs, work, `no answer within ${timeoutMs} ms`);
  const result = (name: ReadinessCheck["name"], reason: string | undefined): ReadinessCheck => ({
    name,
    ok: !reason,
    reason: reason || null,
  });
  const answers = (name: ReadinessCheck["name"], work: Promise<unknown>, reason: string) =>
    inTime(work).then(
      () => result(name, undefined),
      () => result(name, reason),
    );
  const databaseAndTasks = async () => {
    const silent = await inTime(silentTasks(orm, SILENT_AFTER_S)).catch(() => undefined);
    if (!silent) return [result("database", "the database does not answer")];
    const reasons = silent.map(
      ({ task, seconds }) => `the task ${task} has not been seen for ${seconds} s (is its process running?)`,
    );
    return [result("database", undefined), result("tasks", reasons.join("; "))];
  };
  const isolation = (refused: Promise<string | undefined>) =>
    inTime(refused).then(
      (reason) => result("isolation", reason),
      () => result("isolation", "the isolation of agents could not be checked"),
    );

  return async () => {
    const checks = await Promise.all([
      databaseAndTasks(),
      queueAlive && answers("queue", queueAlive(), "the queue does not answer"),
      keysKnown &&
        answers("identity_provider", keysKnown(), "the identity provider's keys cannot be fetched"),
      refusal && isolation(refusal()),
    ]);
    return checks.flat().filter((one) => one !== undefined);
  };
}

/** @throws AppError `not_ready` with what is missing. */
export async function requireReady(ready: Readiness): Promise<void> {
  const reasons = (await ready()).flatMap(({ reason }) => reason ?? []);
  if (reasons.length > 0) throw new AppError("not_ready", `Not ready: ${reasons.join("; ")}.`);
}
