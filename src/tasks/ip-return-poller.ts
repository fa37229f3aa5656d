import { CHANNELS } from "../queue/names.ts";
import {
  countFailedReturn,
  heldSandboxes,
  holdsSandboxes,
  idleSandboxes,
  markReturned,
} from "../sandboxes/store.ts";
import { messageOf } from "../shared/errors.ts";
import { startLoop } from "./loop.ts";
import { restWhile } from "./rest.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 2_000;
/** The interval of sweeps of this machine for sandboxes that a crash left behind. */
const SWEEP_EVERY_MS = 10_000;

/** Returns the sandboxes of idle sessions, and removes those that a crash left behind. */
export const ipReturnPoller: Task = async ({
  config: { runLimits },
  database,
  sandboxes,
  metrics,
  logger,
}) => {
  const { orm } = database;
  const { retryTransientMs: retryMs } = runLimits;
  let sweptAt = Number.NEGATIVE_INFINITY;

  const returnIdle = async () => {
    if (performance.now() - sweptAt > SWEEP_EVERY_MS) {
      const count = await sandboxes.sweep((ids) => heldSandboxes(orm, ids));
      if (count > 0) logger.warn("sandboxes left behind by a crash were removed", { count });
      sweptAt = performance.now();
    }
    for (const { sessionId, config } of await idleSandboxes(orm)) {
      try {
        // False for a sandbox of another machine, which returns it itself.
        if (!(await sandboxes.release(config))) continue;
        await markReturned(orm, sessionId, config);
        metrics.sandboxReturn("done");
      } catch (error) {
        const givenUp = await countFailedReturn(orm, sessionId, config, { error: messageOf(error), retryMs });
        metrics.sandboxReturn(givenUp ? "given_up" : "failed");
        logger[givenUp ? "error" : "warn"]("a sandbox could not be returned", {
          session_id: sessionId,
          given_up: givenUp,
          error: messageOf(error),
        });
      }
    }
  };

  const restMs = restWhile(database, SWEEP_EVERY_MS, async () => ((await holdsSandboxes(orm)) ? 0 : null));
  const loop = startLoop({
    name: "ip-return-poller",
    intervalMs: INTERVAL_MS,
    restMs,
    logger,
    work: returnIdle,
  });
  const unlisten = await database.listen(CHANNELS.sandboxDone, loop.wake);
  return {
    async stop() {
      await unlisten();
      await loop.stop();
    },
  };
};
