import { hostname } from "node:os";
import type { Orm } from "../db/client.ts";
import { beat, forgetBeats, forgetOldBeats } from "../db/heartbeats.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { type RunningTask, startLoop } from "./loop.ts";

/** A reader misses a task after several of these. */
const INTERVAL_MS = 5_000;

/** Shows, every 5 s and with one statement for all, that the tasks of this process are alive; /health/ready reads it. */
export function startHeartbeat(options: {
  orm: Orm;
  tasks: readonly string[];
  logger: Logger;
  intervalMs?: number;
}): RunningTask {
  const { orm, tasks, logger, intervalMs = INTERVAL_MS } = options;
  const process = crypto.randomUUID();
  let failing = false;
  let swept = false;

  const work = async () => {
    // Caught here: the loop would wait ever longer, and the first beat after an outage must not come late.
    try {
      await beat(orm, { process, host: hostname(), tasks });
      if (!swept) await forgetOldBeats(orm);
      swept = true;
      failing = false;
    } catch (error) {
      if (!failing) logger.warn("the tasks' heartbeat could not be written", { error: messageOf(error) });
      failing = true;
    }
  };

  const loop = startLoop({ name: "heartbeat", intervalMs, logger, work });
  return {
    async stop() {
      await loop.stop();
      await forgetBeats(orm, process);
    },
  };
}
