import { and, asc, eq, gt, isNull } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { message, prompt, session } from "../db/tables.ts";
import { AppError } from "../errors.ts";
import { weakTag } from "../etag.ts";
import { decodeSeq, type Page, pageOf } from "../paging.ts";

export type MessageRow = typeof message.$inferSelect;

export interface MessageQuery {
  userId: string;
  promptId: string;
  limit?: number | undefined;
  cursor?: string | undefined;
}

const noPrompt = (id: string) => new AppError("not_found", `The prompt ${id} does not exist.`);
const ownPrompt = ({ promptId, userId }: MessageQuery) =>
  and(eq(prompt.id, promptId), eq(session.userId, userId), isNull(session.deletedAt));

/** A prompt's messages in their order. @throws AppError `not_found`, also where it is somebody else's. */
export async function listMessages(orm: Orm, wanted: MessageQuery): Promise<Page<MessageRow>> {
  const { promptId, limit, cursor } = wanted;
  const rows = orm
    .select({ message })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .leftJoin(message, and(eq(message.promptId, prompt.id), gt(message.seq, decodeSeq(cursor))))
    .where(ownPrompt(wanted))
    .orderBy(asc(message.seq));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw noPrompt(promptId);
  return pageOf(
    found.flatMap((row) => row.message ?? []),
    limit,
    ({ seq }) => String(seq),
  );
}

/** A validator of the list: whoever writes messages counts their prompt up. One row. @throws AppError `not_found` */
export async function messagesTag(orm: Orm, wanted: MessageQuery): Promise<string> {
  const { promptId, limit, cursor } = wanted;
  const [row] = await orm
    .select({ id: prompt.id, version: prompt.messagesVersion })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(ownPrompt(wanted));
  if (!row) throw noPrompt(promptId);
  return weakTag("messages", row.id, limit, cursor, row.version);
}
