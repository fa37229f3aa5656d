import { and, eq, sql } from "drizzle-orm";
import { builtOnce } from "../db/built-once.ts";
import type { Queryable } from "../db/client.ts";
import { isoTime, type JsonFields, jsonRow, unlessKnown } from "../db/json-rows.ts";
import { message, prompt, session } from "../db/tables.ts";
import { numberedList } from "../lifecycle/owned-lists.ts";
import { isOwnedSession } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/** A message, and how often its prompt has started over. */
export type MessageRow = typeof message.$inferSelect & { redone: number };

/** A message as clients see it: MessageDto, made by PostgreSQL. A test compares it with `toMessageDto`. */
const messageJson = {
  id: message.id,
  prompt_id: message.promptId,
  seq: message.seq,
  data: message.data,
  attempt: message.attempt,
  superseded: sql`${message.attempt} <= ${prompt.redone}`,
  created_at: isoTime(message.createdAt),
  updated_at: isoTime(message.updatedAt),
} satisfies JsonFields;

/** A prompt's messages. Every write of one raises its prompt's version, and a prompt that starts over writes one. */
export const listMessages = numberedList({
  name: "messages_list",
  owner: "prompt",
  of: message.promptId,
  seq: message.seq,
  version: prompt.messagesVersion,
  fields: messageJson,
});

/** The ETag of a message. It has no version: what can change of it is in the tag. */
const tag = sql<string>`translate(encode(decode(md5(concat_ws(' ', ${message.id}, ${messageJson.superseded}, extract(epoch from ${message.updatedAt}), ${message.data})), 'hex'), 'base64'), '+/=', '-_')`;
const TAG = /"([\w-]{22})"/;

const reading = builtOnce((orm) =>
  orm
    .select({
      tag,
      promptId: message.promptId,
      json: unlessKnown(tag, jsonRow(messageJson)),
    })
    .from(message)
    .innerJoin(prompt, eq(prompt.id, message.promptId))
    .innerJoin(session, eq(session.id, message.sessionId))
    .where(and(eq(message.id, sql.placeholder("id")), isOwnedSession(sql.placeholder("userId"))))
    .prepare("message_read"),
);

/**
 * @returns the message's ETag, and its JSON unless it is the first of `ifNoneMatch`.
 * @throws AppError `message_not_found`, also where it is another user's.
 */
export async function readMessage(
  orm: Queryable,
  wanted: { userId: string; id: string; ifNoneMatch: string | null },
): Promise<{ etag: string; promptId: string; json: string | null }> {
  const { userId, id, ifNoneMatch } = wanted;
  const known = TAG.exec(ifNoneMatch ?? "")?.[1] ?? "";
  const [row] = await reading(orm).execute({ id, userId, known });
  if (!row) throw notFound("message", id);
  return { etag: `W/"${row.tag}"`, promptId: row.promptId, json: row.json };
}
