import { startLoop } from "./loop.ts";
import { purge } from "./purge.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 3_600_000;

/** Purges expired data every hour. Safe in any number of processes. */
export const retention: Task = async (context) => {
  const shutdown = new AbortController();
  const { logger } = context;
  const work = async () => {
    const removed = await purge(context, shutdown.signal);
    const some = Object.entries(removed).filter(([, count]) => count > 0);
    if (some.length > 0) logger.info("expired data purged", Object.fromEntries(some));
  };
  const loop = startLoop({ name: "retention", intervalMs: INTERVAL_MS, logger, work });
  return {
    async stop() {
      shutdown.abort();
      await loop.stop();
    },
  };
};
