import { and, eq, isNull } from "drizzle-orm";
import type { Queryable } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { notFound } from "../shared/errors.ts";

/** Part of every condition on sessions: another user's session does not exist, and neither does a deleted one. */
export const ownedSession = (userId: string) => and(eq(session.userId, userId), isNull(session.deletedAt));

/** A prompt of a session of this user's; for queries that join the two. */
export const ownedPrompt = (userId: string, promptId: string) =>
  and(eq(prompt.id, promptId), ownedSession(userId));

export type PromptRow = typeof prompt.$inferSelect;

/** @throws AppError `prompt_not_found`, also where it is another user's. */
export async function readOwnPrompt(orm: Queryable, userId: string, id: string): Promise<PromptRow> {
  const [row] = await orm
    .select({ prompt })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(ownedPrompt(userId, id));
  if (!row) throw notFound("prompt", id);
  return row.prompt;
}
