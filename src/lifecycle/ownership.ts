import { and, eq, isNull, type Placeholder, type SQL, sql } from "drizzle-orm";
import type { Queryable, Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { notFound } from "../shared/errors.ts";
import { lockUnfinished } from "./locks.ts";

/** Part of every condition on the sessions of a user: those of other users, and deleted ones, do not exist. */
export const ownedSession = (userId: string | Placeholder) =>
  and(eq(session.userId, userId), isNull(session.deletedAt));

/**
 * The same for one session, which its id or a join leads to. `is true` hides the user from the planner, which otherwise may
 * take an index that begins with the user, and read it through all of the user's sessions in search of the id: it
 * expects a user to have few.
 */
export const isOwnedSession = (userId: string | Placeholder): SQL => sql`(${ownedSession(userId)}) is true`;

/** True for this session, if it is this user's. */
export const ownedSessionById = (userId: string | Placeholder, sessionId: string | Placeholder) =>
  and(eq(session.id, sessionId), isOwnedSession(userId));

/** True for this prompt in a session of this user; for queries that join the two tables. */
export const ownedPrompt = (userId: string | Placeholder, promptId: string | Placeholder) =>
  and(eq(prompt.id, promptId), isOwnedSession(userId));

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
