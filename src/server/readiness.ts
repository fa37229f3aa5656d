import type { Orm } from "../db/client.ts";
import { silentTasks } from "../db/heartbeats.ts";
import { AppError } from "../shared/errors.ts";

/** @throws AppError `unavailable` that names what is missing. */
export type Readiness = () => Promise<void>;

/** Milliseconds that all checks together may take. */
const TIMEOUT_MS = 2_000;
/** Seconds of silence after which a task counts as gone; it shows itself every 5. */
const SILENT_AFTER_S = 30;

/**
 * Looks at what a request needs. Tasks are those that any process ran within the last day and did not end in order.
 * @param options.queueAlive rejects while the queue is away; undefined where the queue is the database.
 */
export function createReadiness(options: {
  orm: Orm;
  queueAlive: (() => Promise<unknown>) | undefined;
  timeoutMs?: number;
}): Readiness {
  const { orm, queueAlive, timeoutMs = TIMEOUT_MS } = options;

  async function missing(): Promise<string[]> {
    const [tasks, queue] = await Promise.allSettled([
      within(timeoutMs, silentTasks(orm, SILENT_AFTER_S)),
      within(timeoutMs, Promise.resolve(queueAlive?.())),
    ]);
    return [
      ...(tasks.status === "rejected"
        ? ["the database does not answer"]
        : tasks.value.map(
            ({ task, seconds }) =>
              `the task ${task} has not been seen for ${seconds} s (is its process running?)`,
          )),
      ...(queue.status === "rejected" ? ["the queue does not answer"] : []),
    ];
  }

  return async () => {
    const found = await missing();
    if (found.length > 0) throw new AppError("not_ready", `Not ready: ${found.join("; ")}.`);
  };
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("no answer in time")), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
