import { closeCancelled, remindOfCancellations } from "../lifecycle/enforce-cancellations.ts";
import { expireQuestions } from "../lifecycle/expire-questions.ts";
import { hasUnfinished } from "../lifecycle/unfinished.ts";
import { startLoop } from "./loop.ts";
import { restWhile, SHORT_REST_MS } from "./rest.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 2_000;
/** How long a runner may take: the grace period after SIGTERM, and more. Delivery has time limits of its own. */
const OVERDUE_MS = 60_000;

/**
 * Enforces cancellations: notifies runners again, and closes cancelled prompts that no runner ends. Denies what nobody has
 * answered in time.
 */
export const cancellationEnforcer: Task = async ({ config, database, metrics, logger }) => {
  let unfinished = true;
  return startLoop({
    name: "cancellation-enforcer",
    intervalMs: INTERVAL_MS,
    restMs: restWhile(database, SHORT_REST_MS, async () => (unfinished ? 0 : null)),
    logger,
    work: async () => {
      unfinished = await hasUnfinished(database.orm);
      if (!unfinished) return;
      await remindOfCancellations(database.orm);
      const expired = await expireQuestions(database.orm, config.runLimits.permissionTimeoutMs / 60_000);
      if (expired > 0) metrics.permissionsExpired(expired);
      const closed = await closeCancelled(database.orm, OVERDUE_MS);
      if (closed > 0)
        logger.warn("cancelled prompts were closed because no runner ended them", { count: closed });
    },
  });
};
