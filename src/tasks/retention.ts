import { startLoop } from "./loop.ts";
import { purge } from "./purge.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 3_600_000;

/** Purges what is past its age, every hour. Any number of processes may do so. */
export const retention: Task = async (context) => {
  const shutdown = new AbortController();
  const { logger } = context;
  const work = async () => {
    const removed = await purge(context, shutdown.signal);
    const some = Object.entries(removed).filter(([, count]) => count > 0);
    if (some.length > 0) logger.info("purged what is past its age", Object.fromEntries(some));
  };
  const loop = startLoop({ name: "retention", intervalMs: INTERVAL_MS, logger, work });
  return {
    async stop() {
      shutdown.abort();
      await loop.stop();
    },
  };
};
