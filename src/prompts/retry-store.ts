import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { endWait } from "../lifecycle/end-wait.ts";
import { lockOwnPrompt, type PromptRow } from "../lifecycle/ownership.ts";
import { AppError } from "../shared/errors.ts";

/**
 * Tries a waiting prompt at once, for a user who knows that what it waits for is back.
 * @returns whether that ended a wait; false if its next attempt is due or under way anyway, as after the first of two clicks.
 * @throws AppError `prompt_not_found`, `nothing_to_retry`
 */
export async function retryPrompt(orm: Orm, wanted: { userId: string; id: string }): Promise<boolean> {
  return orm.transaction(async (tx) => {
    const row = await lockOwnPrompt(tx, wanted);
    // What waits for its user is not tried again.
    if (row.waitingFor === null || row.waitingFor === "permission") {
      if (isTriedAgain(row)) return false;
      throw nothingToRetry(row);
    }
    await endWait(tx, row);
    const { id, sessionId, waitingFor } = row;
    await recordAudit(tx, {
      actor: wanted.userId,
      action: "prompt.retry",
      target: `prompt:${id}`,
      detail: { session: sessionId, waiting_for: waitingFor },
    });
    return true;
  });
}

/** Until it ends, a prompt keeps the error of its last attempt. */
const isTriedAgain = ({ status, error }: PromptRow) =>
  (status === "Queued" || status === "Running") && error !== null;

function nothingToRetry({ status }: PromptRow): AppError {
  const instead =
    status === "Queued"
      ? "it waits for nothing but its turn."
      : status === "Running"
        ? "wait for its end, or cancel the session."
        : "retry its dead letter, if it has become one, or send another prompt.";
  return new AppError("nothing_to_retry", `There is nothing to retry. The prompt is ${status}: ${instead}`);
}
