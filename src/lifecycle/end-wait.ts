import { eq } from "drizzle-orm";
import type { Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { dispatch } from "./dispatch.ts";
import type { PromptRow } from "./ownership.ts";
import { promptAfter, sessionAfter } from "./transitions.ts";

/**
 * Ends the wait of a prompt for what its run needs: its next attempt is due, and the runners are notified. The delayed job of
 * the wait stays: a job is only a wake-up. The caller has checked the owner and holds the locks of `lockUnfinished`.
 */
export async function endWait(
  tx: Transaction,
  { id, sessionId }: Pick<PromptRow, "id" | "sessionId">,
): Promise<void> {
  await tx.update(prompt).set(promptAfter.waitEnded).where(eq(prompt.id, id));
  await tx.update(session).set(sessionAfter.waitEnded).where(eq(session.id, sessionId));
  await dispatch(tx, id);
}
