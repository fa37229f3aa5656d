import { beginAgentWaits, endAgentWaits } from "../lifecycle/await-agents.ts";
import { redispatchLost } from "../lifecycle/dispatch.ts";
import { hasUnfinished } from "../lifecycle/unfinished.ts";
import { settleLostCalls } from "../spend/lost-calls.ts";
import { startLoop } from "./loop.ts";
import { restWhile, SHORT_REST_MS } from "./rest.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 1_000;
/** A job that is this old counts as lost. If it is not, the duplicate does no harm. */
const GRACE_MS = 30_000;

/**
 * The safety net: dispatches prompts again whose job was lost or whose runner died, and counts the model calls that a runner
 * has left open. Besides, prompts wait, and say so, while
 * no worker has their agent.
 */
export const sessionPoller: Task = async ({ database, spend, metrics, logger }) => {
  let unfinished = true;
  return startLoop({
    name: "session-poller",
    intervalMs: INTERVAL_MS,
    restMs: restWhile(database, SHORT_REST_MS, async () => (unfinished ? 0 : null)),
    logger,
    work: async () => {
      unfinished = await hasUnfinished(database.orm);
      if (unfinished) {
        await beginAgentWaits(database.orm);
        await endAgentWaits(database.orm);
        const count = await redispatchLost(database.orm, GRACE_MS);
        if (count > 0) logger.warn("prompts without a job were dispatched again", { count });
      }
      // Last: should that fail, prompts are dispatched all the same.
      const lost = await settleLostCalls(database.orm, spend.rules.prices, metrics);
      if (lost > 0) logger.warn("model calls that nobody ended were counted as estimated", { count: lost });
    },
  });
};
