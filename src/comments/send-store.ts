import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import type { Author } from "../auth/claims.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Transaction } from "../db/client.ts";
import { comment } from "../db/review-tables.ts";
import { session } from "../db/tables.ts";
import { lockSession } from "../lifecycle/locks.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { addPrompt } from "../prompts/create-store.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { followUpText } from "./follow-up-text.ts";
import type { CommentRow } from "./store.ts";

interface Wanted {
  userId: string;
  author: Author | undefined;
  sessionId: string;
  /** Default: all that are not sent yet. */
  commentIds?: readonly string[] | undefined;
  /** What the prompt begins with. */
  introduction?: string | undefined;
  maxUnfinished: number;
}

/**
 * Makes a session's open comments, or those named, into one follow-up prompt, with which they are sent.
 * @throws AppError `session_not_found`, `comment_not_found`, `comment_sent`, `no_open_comments`, `too_large`,
 *   `prompt_quota_reached`
 */
export async function sendComments(tx: Transaction, wanted: Wanted): Promise<{ promptId: string }> {
  const { userId, author, sessionId, introduction, maxUnfinished } = wanted;
  // Of two requests the second one finds the comments of the first one sent.
  await lockSession(tx, sessionId);
  const comments = await readWanted(tx, wanted);
  const text = followUpText(comments, introduction);
  const { id: promptId } = await addPrompt(tx, {
    ...{ userId, author, sessionId, text, priority: 0, maxUnfinished },
    data: [{ content: text, type: "text" }],
  });
  const ids = comments.map(({ id }) => id);
  await tx
    .update(comment)
    .set({ sentPromptId: promptId, updatedAt: sql`now()` })
    .where(inArray(comment.id, ids));
  await recordAudit(tx, {
    actor: userId,
    action: "comment.send",
    target: `session:${sessionId}`,
    detail: { prompt: promptId, comments: ids.length },
  });
  return { promptId };
}

async function readWanted(tx: Transaction, wanted: Wanted): Promise<CommentRow[]> {
  const { userId, sessionId } = wanted;
  const ids = wanted.commentIds?.map((id) => id.toLowerCase());
  const found = await tx
    .select({ comment })
    .from(session)
    .leftJoin(
      comment,
      and(
        eq(comment.sessionId, session.id),
        ids === undefined ? isNull(comment.sentPromptId) : inArray(comment.id, ids),
      ),
    )
    .where(ownedSessionById(userId, sessionId))
    .orderBy(comment.id);
  if (found.length === 0) throw notFound("session", sessionId);
  const rows = found.flatMap((row) => row.comment ?? []);
  for (const id of ids ?? [])
    requireOpen(
      rows.find((row) => row.id === id),
      id,
    );
  if (rows.length === 0)
    throw new AppError(
      "no_open_comments",
      "The session has no comment that is not sent yet. Make one, or send a prompt of your own with POST /prompts.",
    );
  return rows;
}

function requireOpen(row: CommentRow | undefined, id: string): void {
  if (!row) throw notFound("comment", id);
  if (row.sentPromptId !== null)
    throw new AppError(
      "comment_sent",
      `comment_ids: the comment ${id} was sent already, with the prompt ${row.sentPromptId}; leave it out.`,
    );
}
