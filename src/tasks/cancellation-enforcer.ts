import { closeCancelled, remindOfCancellations } from "../lifecycle/enforce-cancellations.ts";
import { startLoop } from "./loop.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 2_000;
/** A runner needs at most the grace of a polite end, and a commit and a push of what there is. */
const OVERDUE_MS = 60_000;

/** Sees to it that what was cancelled ends: reminds its runner, and closes what no runner closes. */
export const cancellationEnforcer: Task = async ({ database, logger }) =>
  startLoop({
    name: "cancellation-enforcer",
    intervalMs: INTERVAL_MS,
    logger,
    work: async () => {
      await remindOfCancellations(database.orm);
      const closed = await closeCancelled(database.orm, OVERDUE_MS);
      if (closed > 0) logger.warn("cancellations that nobody finished were closed", { count: closed });
    },
  });
