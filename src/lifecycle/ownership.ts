import { and, eq, isNull, type Placeholder } from "drizzle-orm";
import type { Queryable, Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { notFound } from "../shared/errors.ts";
import { lockUnfinished } from "./locks.ts";

/** Part of every condition on sessions: sessions of other users, and deleted ones, do not exist. */
export const ownedSession = (userId: string | Placeholder) =>
  and(eq(session.userId, userId), isNull(session.deletedAt));

/** True for this prompt in a session of this user; for queries that join the two tables. */
export const ownedPrompt = (userId: string | Placeholder, promptId: string | Placeholder) =>
  and(eq(prompt.id, promptId), ownedSession(userId));

export type PromptRow = typeof prompt.$inferSelect;

/** @throws AppError `prompt_not_found`, also if the prompt is another user's. */
export async function readOwnPrompt(orm: Queryable, userId: string, id: string): Promise<PromptRow> {
  const [row] = await orm
    .select({ prompt })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(ownedPrompt(userId, id));
  if (!row) throw notFound("prompt", id);
  return row.prompt;
}

/** The same, locked with all unfinished prompts of its session: none of them starts or ends meanwhile. */
export async function lockOwnPrompt(
  tx: Transaction,
  { userId, id }: { userId: string; id: string },
): Promise<PromptRow> {
  const { sessionId } = await readOwnPrompt(tx, userId, id);
  await lockUnfinished(tx, sessionId);
  return readOwnPrompt(tx, userId, id);
}
