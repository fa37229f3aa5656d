import { and, eq, getTableColumns, isNull, sql } from "drizzle-orm";
import type { Page, PageQuery } from "../api/paging.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Queryable, Transaction } from "../db/client.ts";
import type { CommentSide } from "../db/columns.ts";
import { comment } from "../db/review-tables.ts";
import { session } from "../db/tables.ts";
import { lockSession } from "../lifecycle/locks.ts";
import { listOwned } from "../lifecycle/owned-lists.ts";
import { isOwnedSession, ownedSessionById } from "../lifecycle/ownership.ts";
import { AppError, notFound } from "../shared/errors.ts";

/** Comments of one session that are not sent yet. */
const MAX_OPEN = 500;

export type CommentRow = typeof comment.$inferSelect;

export interface CommentQuery extends PageQuery {
  userId: string;
  sessionId: string;
}

/** A session's comments, in the order in which they were made. @throws AppError `session_not_found` */
export const listComments = (orm: Orm, { sessionId, ...query }: CommentQuery): Promise<Page<CommentRow>> =>
  listOwned(
    orm,
    { ...query, ownerId: sessionId },
    { owner: "session", of: comment.sessionId, fields: getTableColumns(comment) },
  );

/** A number that each change of a session's comments raises. @throws AppError `session_not_found` */
export async function commentsVersion(
  orm: Queryable,
  { userId, sessionId }: Pick<CommentQuery, "userId" | "sessionId">,
): Promise<number> {
  const [row] = await orm
    .select({ version: session.commentsVersion })
    .from(session)
    .where(ownedSessionById(userId, sessionId));
  if (!row) throw notFound("session", sessionId);
  return row.version;
}

export interface NewComment {
  path: string;
  commit: string;
  side: CommentSide;
  /** Null: it is about the file. */
  lines: { line: number; endLine: number } | null;
  text: string;
  code: string;
}

/** @throws AppError `session_not_found`, `comment_limit_reached` */
export async function createComment(
  tx: Transaction,
  wanted: Pick<CommentQuery, "userId" | "sessionId"> & { comment: NewComment },
): Promise<{ id: string }> {
  const { userId, sessionId } = wanted;
  const { lines, ...rest } = wanted.comment;
  await lockSession(tx, sessionId);
  // The session may have been deleted since its repository was read.
  await commentsVersion(tx, wanted);
  const open = await tx.$count(comment, and(eq(comment.sessionId, sessionId), isNull(comment.sentPromptId)));
  if (open >= MAX_OPEN)
    throw new AppError(
      "comment_limit_reached",
      `The session has ${MAX_OPEN} comments that are not sent yet. Send them, or delete some.`,
    );
  const id = Bun.randomUUIDv7();
  await tx.insert(comment).values({ id, sessionId, ...rest, ...(lines ?? {}) });
  await recordAudit(tx, changed(userId, "comment.create", { id, sessionId }));
  return { id };
}

interface Wanted {
  userId: string;
  id: string;
}

/** @throws AppError `comment_not_found`, `comment_sent` */
export async function updateComment(orm: Orm, wanted: Wanted & { text: string }): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id, sessionId, sentPromptId } = await lockOwnComment(tx, wanted);
    if (sentPromptId !== null)
      throw new AppError(
        "comment_sent",
        `The comment was sent with the prompt ${sentPromptId}, which quotes it: it can be changed only before. Make another one.`,
      );
    await tx.update(comment).set({ text: wanted.text, updatedAt: sql`now()` }).where(eq(comment.id, id));
    await recordAudit(tx, changed(wanted.userId, "comment.update", { id, sessionId }));
  });
}

/** Whether it was sent or not. @throws AppError `comment_not_found` */
export async function deleteComment(orm: Orm, wanted: Wanted): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id, sessionId } = await lockOwnComment(tx, wanted);
    await tx.delete(comment).where(eq(comment.id, id));
    await recordAudit(tx, changed(wanted.userId, "comment.delete", { id, sessionId }));
  });
}

const changed = (
  actor: string,
  action: `comment.${"create" | "update" | "delete"}`,
  { id, sessionId }: { id: string; sessionId: string },
) => ({ actor, action, target: `comment:${id}`, detail: { session: sessionId } });

/** Until the transaction ends, it is neither changed nor sent. @throws AppError `comment_not_found` */
async function lockOwnComment(tx: Transaction, wanted: Wanted): Promise<CommentRow> {
  const { sessionId } = await readOwnComment(tx, wanted);
  await lockSession(tx, sessionId);
  return readOwnComment(tx, wanted);
}

async function readOwnComment(tx: Transaction, { userId, id }: Wanted): Promise<CommentRow> {
  const [row] = await tx
    .select({ comment })
    .from(comment)
    .innerJoin(session, eq(session.id, comment.sessionId))
    .where(and(eq(comment.id, id), isOwnedSession(userId)));
  if (!row) throw notFound("comment", id);
  return row.comment;
}
