import { redispatchLost } from "../lifecycle/dispatch.ts";
import { startLoop } from "./loop.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 1_000;
/** A job that waited this long in a queue counts as lost; sending it again does no harm. */
const GRACE_MS = 30_000;

/** The safety net: finds work that nothing carries (the queue lost it, its runner died) and sends it again. */
export const sessionPoller: Task = async ({ database, logger }) =>
  startLoop({
    name: "session-poller",
    intervalMs: INTERVAL_MS,
    logger,
    work: async () => {
      const count = await redispatchLost(database.orm, GRACE_MS);
      if (count > 0) logger.warn("prompts that nothing carried were sent again", { count });
    },
  });
