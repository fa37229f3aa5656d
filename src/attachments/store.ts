import { and, asc, eq, inArray, notInArray, sql } from "drizzle-orm";
import { attachment } from "../db/attachment-tables.ts";
import { type Orm, type Queryable, rowsOf } from "../db/client.ts";
import type { AttachmentKind } from "../db/columns.ts";
import { prompt, session } from "../db/tables.ts";
import { eachText } from "../db/text-list.ts";
import { isOwnedSession } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/** What is to be stored with a prompt. */
export type Attachment = { id: string; position: number; name: string } & (
  | { kind: AttachmentKind; mediaType: string; bytes: Uint8Array; sha256: string }
  /** A copy of that one; undefined: it is stored already. */
  | { from: string | undefined }
);

/** One that is stored, without its bytes. */
export interface Known {
  id: string;
  promptId: string;
  kind: AttachmentKind;
  name: string;
  mediaType: string;
  size: number;
}

const about = {
  ...{ id: attachment.id, promptId: attachment.promptId, kind: attachment.kind, name: attachment.name },
  mediaType: attachment.mediaType,
  size: sql<number>`octet_length(${attachment.bytes})`.mapWith(Number),
};

/** As base64 both ways: of bytes, the embedded database's driver makes a text digit by digit, a second for 5 MiB. */
const encoded = sql`encode(${attachment.bytes}, 'base64')`;
const decode = (text: string): Uint8Array => Buffer.from(text, "base64");
const contentOf = (bytes: Uint8Array) =>
  sql`decode(${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")}, 'base64')`;

/** Those of these ids that are in the user's sessions. */
export async function findAttachments(
  orm: Queryable,
  userId: string,
  ids: readonly string[],
): Promise<Known[]> {
  return orm
    .select(about)
    .from(attachment)
    .innerJoin(prompt, eq(prompt.id, attachment.promptId))
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(inArray(attachment.id, [...ids]), isOwnedSession(userId)));
}

/**
 * @param ifNoneMatch the bytes of which it has the hash are not read, however large.
 * @returns an attachment, with its bytes unless they are known.
 * @throws AppError `attachment_not_found`, also where it is another user's.
 */
export async function readAttachment(
  orm: Orm,
  wanted: { userId: string; id: string; ifNoneMatch: string | null },
): Promise<Known & { bytes: Uint8Array | null; sha256: string }> {
  const { userId, id, ifNoneMatch } = wanted;
  const known = eachText(ifNoneMatch?.match(/[0-9a-f]{64}/g) ?? []);
  const isNew = sql`${attachment.sha256} not in ${known}`;
  const [row] = await orm
    .select({
      ...about,
      bytes: sql<Uint8Array | null>`case when ${isNew} then ${encoded} end`.mapWith(decode),
      sha256: attachment.sha256,
    })
    .from(attachment)
    .innerJoin(prompt, eq(prompt.id, attachment.promptId))
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(eq(attachment.id, id), isOwnedSession(userId)));
  if (!row) throw notFound("attachment", id);
  return row;
}

/** What a run needs, in the order of the prompt. */
export const attachmentsOf = (orm: Orm, promptId: string) =>
  orm
    .select({ ...about, bytes: encoded.mapWith(decode) })
    .from(attachment)
    .where(eq(attachment.promptId, promptId))
    .orderBy(asc(attachment.position));

/**
 * Makes these the attachments of a prompt, whose row is there. Each is a statement of its own, which keeps none long.
 * @throws AppError `attachment_not_found` if one to be copied is gone meanwhile.
 */
export async function storeAttachments(
  tx: Queryable,
  { userId, promptId, attachments }: { userId: string; promptId: string; attachments: readonly Attachment[] },
): Promise<void> {
  for (const { id, position, name, ...one } of attachments) {
    if ("bytes" in one) {
      const bytes = contentOf(one.bytes);
      await tx.insert(attachment).values({ id, promptId, position, name, ...one, bytes });
      // The embedded database does its work in this thread: others get their turn between two of them.
      await new Promise((resolve) => setImmediate(resolve));
    } else if (one.from === undefined) {
      const own = and(eq(attachment.id, id), eq(attachment.promptId, promptId));
      const kept = await tx
        .update(attachment)
        .set({ position, name })
        .where(own)
        .returning({ id: attachment.id });
      if (kept.length === 0) throw notFound("attachment", id);
    } else {
      // The two tables are named in full: of what is inserted into, Drizzle would write the columns alone.
      const copied = await rowsOf(
        tx,
        sql`insert into attachment (id, prompt_id, position, kind, name, media_type, bytes, sha256)
          select ${id}::uuid, ${promptId}::uuid, ${position}::int, a.kind, ${name}::text, a.media_type, a.bytes, a.sha256
          from attachment a join prompt on prompt.id = a.prompt_id join session on session.id = prompt.session_id
          where a.id = ${one.from}::uuid and ${isOwnedSession(userId)} returning attachment.id`,
      );
      if (copied.length === 0) throw notFound("attachment", one.from);
    }
  }
}

/** The same for a prompt that had others, which go. @throws AppError `attachment_not_found` */
export async function replaceAttachments(
  tx: Queryable,
  wanted: { userId: string; promptId: string; attachments: readonly Attachment[] },
): Promise<void> {
  const stay = wanted.attachments.map(({ id }) => id);
  await tx
    .delete(attachment)
    .where(
      and(
        eq(attachment.promptId, wanted.promptId),
        stay.length > 0 ? notInArray(attachment.id, stay) : undefined,
      ),
    );
  await storeAttachments(tx, wanted);
}
