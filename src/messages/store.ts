import { and, eq, sql } from "drizzle-orm";
import { versionIn, versionTag } from "../api/etag.ts";
import { decodeSeq, type Page, pageOf } from "../api/paging.ts";
import { builtOnce } from "../db/built-once.ts";
import type { Orm, Queryable } from "../db/client.ts";
import { isoTime, type JsonFields, jsonLines, jsonRow, unlessKnown } from "../db/json-rows.ts";
import { message, prompt, session } from "../db/tables.ts";
import { isOwnedSession, ownedPrompt } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";
import type { MessageDto } from "./model.ts";

/** A message, and how often its prompt has started over. */
export type MessageRow = typeof message.$inferSelect & { redone: number };

export interface MessageQuery {
  userId: string;
  promptId: string;
  limit?: number | undefined;
  cursor?: string | undefined;
}

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

/** Every write of a message raises its prompt's version, and a prompt that starts over writes one. */
const listing = builtOnce((orm, shape) => {
  const limit = shape === "limited" ? sql` limit ${sql.placeholder("rows")}` : sql``;
  const from = sql`from ${message} where ${message.promptId} = ${prompt.id} and ${message.seq} > ${sql.placeholder("after")} order by ${message.seq}${limit}`;
  return orm
    .select({
      version: prompt.messagesVersion,
      lines: unlessKnown(prompt.messagesVersion, jsonLines(messageJson, from)),
    })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(ownedPrompt(sql.placeholder("userId"), sql.placeholder("promptId")))
    .prepare("messages_list");
});

/**
 * A prompt's messages in their order, by one statement.
 * @returns the ETag of the list, and its messages unless it is the first of `ifNoneMatch`: each as JSON.
 * @throws AppError `prompt_not_found`, also where it is another user's.
 */
export async function listMessages(
  orm: Orm,
  wanted: MessageQuery,
  ifNoneMatch: string | null,
): Promise<{ etag: string; page: Page<string> | undefined }> {
  const { userId, promptId, limit, cursor } = wanted;
  // No list has the version -1: one without messages has 0.
  const known = versionIn(ifNoneMatch, promptId) || -1;
  const rows = limit === undefined ? {} : { rows: limit + 1 };
  const [row] = await listing(orm, limit === undefined ? "" : "limited").execute({
    ...{ userId, promptId, known, after: decodeSeq(cursor) },
    ...rows,
  });
  if (!row) throw notFound("prompt", promptId);
  const { version, lines } = row;
  const page = pageOf(lines?.split("\n") ?? [], limit, (line) =>
    String((JSON.parse(line) as MessageDto).seq),
  );
  return { etag: versionTag(promptId, version), page: version === known ? undefined : page };
}

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
