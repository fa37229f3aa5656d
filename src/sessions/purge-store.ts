import { and, eq, inArray, isNotNull, isNull, notInArray, sql } from "drizzle-orm";
import { attachment } from "../db/attachment-tables.ts";
import type { Orm } from "../db/client.ts";
import { effect, pullRequest } from "../db/effect-tables.ts";
import { agentMemory, sessionChunk, unpushedWork } from "../db/memory-tables.ts";
import { deleteBatch, olderThan } from "../db/purge.ts";
import { comment } from "../db/review-tables.ts";
import { deadLetter, message, prompt, session } from "../db/tables.ts";
import { purgeSessionSpend } from "../spend/purge-store.ts";

/** Sessions that one query lists. */
const SESSIONS = 20;
const DAY_S = 86_400;

/**
 * Sessions whose retention after deletion is over. One that still holds a sandbox, or has an unfinished prompt, is not
 * among them: what is borrowed is returned first.
 */
const isPurgeable = (days: number) =>
  and(
    isNotNull(session.deletedAt),
    olderThan(session.deletedAt, days * DAY_S),
    isNull(session.sbxConfig),
    // Named in full: of a single table Drizzle writes the column alone, which inside would be the prompt's.
    sql`not exists (select 1 from prompt p where p.session_id = "session"."id" and p.status in ('Queued', 'Running'))`,
  ) ?? sql`false`;

export async function purgeableSessions(orm: Orm, days: number): Promise<string[]> {
  const rows = await orm
    .select({ id: session.id })
    .from(session)
    .where(isPurgeable(days))
    .orderBy(session.deletedAt)
    .limit(SESSIONS);
  return rows.map(({ id }) => id);
}

/**
 * Purges a batch of a purgeable session: its messages, its dead letters, what its agent remembers, its effects, its comments,
 * its budgets, its prompts with what is attached to them, and finally itself. Never by cascade: a session may have a hundred thousand messages.
 * @returns rows removed; 0 when nothing is left that may be removed.
 */
export async function purgeSession(orm: Orm, id: string, days: number): Promise<number> {
  const messages = await deleteBatch(orm, message, eq(message.sessionId, id));
  if (messages > 0) return messages;
  const letters = await deleteBatch(
    orm,
    deadLetter,
    // One list of ids, which an index begins with: of two conditions it would look through all dead letters.
    sql`${deadLetter.entityId} = any(array(
      select ${id}::uuid union all select p.id from prompt p where p.session_id = ${id}::uuid))`,
  );
  if (letters > 0) return letters;
  const memories = await deleteBatch(orm, agentMemory, eq(agentMemory.sessionId, id));
  if (memories > 0) return memories;
  const chunks = await deleteBatch(orm, sessionChunk, eq(sessionChunk.sessionId, id));
  if (chunks > 0) return chunks;
  const unpushed = await deleteBatch(orm, unpushedWork, eq(unpushedWork.sessionId, id));
  if (unpushed > 0) return unpushed;
  const effects = await deleteBatch(orm, effect, eq(effect.sessionId, id));
  if (effects > 0) return effects;
  const pullRequests = await deleteBatch(orm, pullRequest, eq(pullRequest.sessionId, id));
  if (pullRequests > 0) return pullRequests;
  // Before the prompts, of which each would open its comments again.
  const comments = await deleteBatch(orm, comment, eq(comment.sessionId, id));
  if (comments > 0) return comments;
  const attached = sql`${attachment.promptId} in (select p.id from prompt p where p.session_id = ${id}::uuid)`;
  const attachments = await deleteBatch(orm, attachment, attached);
  if (attachments > 0) return attachments;
  const spent = await purgeSessionSpend(orm, id);
  if (spent > 0) return spent;
  const finished = and(eq(prompt.sessionId, id), notInArray(prompt.status, ["Queued", "Running"]));
  const prompts = await deleteBatch(orm, prompt, finished ?? sql`false`);
  if (prompts > 0) return prompts;
  return deleteBatch(orm, session, and(eq(session.id, id), isPurgeable(days)) ?? sql`false`);
}

/** Which of these sessions exist, deleted ones included. */
export async function knownSessions(orm: Orm, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await orm
    .select({ id: session.id })
    .from(session)
    .where(inArray(session.id, [...ids]));
  return new Set(rows.map(({ id }) => id));
}
