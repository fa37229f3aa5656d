import { and, asc, eq, gt } from "drizzle-orm";
import { weakEtag } from "../api/etag.ts";
import { decodeSeq, type Page, pageOf } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import { message, prompt, session } from "../db/tables.ts";
import { ownedPrompt } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/** A message, and how often its prompt has started over. */
export type MessageRow = typeof message.$inferSelect & { redone: number };

export interface MessageQuery {
  userId: string;
  promptId: string;
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** A prompt's messages in their order. @throws AppError `prompt_not_found`, also where it is another user's. */
export async function listMessages(orm: Orm, wanted: MessageQuery): Promise<Page<MessageRow>> {
  const { userId, promptId, limit, cursor } = wanted;
  const rows = orm
    .select({ message, redone: prompt.redone })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .leftJoin(message, and(eq(message.promptId, prompt.id), gt(message.seq, decodeSeq(cursor))))
    .where(ownedPrompt(userId, promptId))
    .orderBy(asc(message.seq));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw notFound("prompt", promptId);
  return pageOf(
    found.flatMap(({ message, redone }) => (message ? { ...message, redone } : [])),
    limit,
    ({ seq }) => String(seq),
  );
}

/** The ETag of a message. It has no version: what can change of it is in the tag. */
export const messageTag = ({ id, attempt, redone, data, updatedAt }: MessageRow) =>
  weakEtag("message", id, attempt <= redone, data, updatedAt);

/**
 * The ETag of the list: every write of a message raises its prompt's version, and a prompt that starts over writes one.
 * @throws AppError `prompt_not_found`
 */
export async function messagesTag(orm: Orm, wanted: MessageQuery): Promise<string> {
  const { userId, promptId, limit, cursor } = wanted;
  const [row] = await orm
    .select({ id: prompt.id, version: prompt.messagesVersion })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(ownedPrompt(userId, promptId));
  if (!row) throw notFound("prompt", promptId);
  return weakEtag("messages", row.id, limit, cursor, row.version);
}
