import type { Orm } from "../db/client.ts";
import { deleteHeartbeats, purgeOldHeartbeats, writeHeartbeats } from "../db/heartbeats.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { type RunningTask, startLoop } from "./loop.ts";

/** Records regularly, in one statement, that the tasks of this process are alive; /health/ready reads it. */
export function startHeartbeat(options: {
  orm: Orm;
  /** As in this process's leases. */
  process: string;
  /** The machine. */
  host: string;
  tasks: readonly string[];
  logger: Logger;
  intervalMs: number;
  /** Called after each one that was written. */
  afterBeat?: () => Promise<unknown>;
}): RunningTask {
  const { orm, process, host, tasks, logger, intervalMs, afterBeat } = options;
  let failing = false;
  let purged = false;

  const work = async () => {
    // Caught here, because the loop would back off: the first heartbeat after an outage must not be late.
    try {
      await writeHeartbeats(orm, { process, host, tasks });
      if (!purged) await purgeOldHeartbeats(orm);
      purged = true;
      await afterBeat?.();
      failing = false;
    } catch (error) {
      if (!failing) logger.warn("task heartbeat could not be written", { error: messageOf(error) });
      failing = true;
    }
  };

  const loop = startLoop({ name: "heartbeat", intervalMs, logger, work });
  return {
    async stop() {
      await loop.stop();
      await deleteHeartbeats(orm, process);
    },
  };
}
