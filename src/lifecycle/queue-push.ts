import { and, eq, sql } from "drizzle-orm";
import type { Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { countPrompt, userTurn } from "./queue-prompt.ts";
import type { ClaimedRun } from "./start-run.ts";

/** What the conversation says of a push. */
export const PUSH = "Push the branch.";

/**
 * Adds a prompt that pushes what this run could not, unless the session has one. It waits for the git host in its own time,
 * without the run's slot and sandbox. The caller holds the lock of the session's row, ends the run, and dispatches.
 */
export async function queuePush(tx: Transaction, run: ClaimedRun): Promise<void> {
  const { sessionId, userId } = run;
  const [queued] = await tx
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(eq(prompt.sessionId, sessionId), sql`${prompt.status} = 'Queued'`, eq(prompt.kind, "push")));
  if (queued) return;
  const id = Bun.randomUUIDv7();
  const counted = await countPrompt(tx, { where: eq(session.id, sessionId), turn: userTurn(PUSH, id) });
  if (counted)
    await tx.insert(prompt).values({ id, sessionId, userId, seq: counted.seq, kind: "push", data: PUSH });
}
