import { and, asc, eq, isNull, sql } from "drizzle-orm";
import { promptText } from "../agents/prompt-text.ts";
import { weakEtag } from "../api/etag.ts";
import type { Orm, Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { ownedSession } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";
import { titleOf } from "./naming.ts";

/** The columns of a SessionDto, and whether it is a fork. */
export const sessionColumns = {
  id: session.id,
  userId: session.userId,
  repo: session.repo,
  targetBranch: session.targetBranch,
  branch: session.branch,
  title: session.title,
  parent: session.parent,
  conversationId: session.conversationId,
  inboxStatus: session.inboxStatus,
  sessionStatus: session.sessionStatus,
  waiting: session.waiting,
  sbxConfig: session.sbxConfig,
  commentsVersion: session.commentsVersion,
  promptsVersion: session.promptsVersion,
  unread: session.unread,
  cancellationStatus: session.cancellationStatus,
  cancelledAt: session.cancelledAt,
  cancelledBy: session.cancelledBy,
  deletedAt: session.deletedAt,
  createdAt: session.createdAt,
  updatedAt: session.updatedAt,
};

/** @throws AppError `session_not_found`, also where it is another user's. */
export async function readSession(orm: Orm, userId: string, id: string) {
  const [row] = await orm
    .select({ ...sessionColumns, messages: session.messages, version: session.version })
    .from(session)
    .where(and(eq(session.id, id), ownedSession(userId)));
  if (!row) throw notFound("session", id);
  return row;
}

export type SessionRow = Omit<Awaited<ReturnType<typeof readSession>>, "messages" | "version">;

/** The session's version, by its primary key. @throws AppError `session_not_found` */
export async function sessionVersion(orm: Orm, userId: string, id: string): Promise<number> {
  const [row] = await orm
    .select({ version: session.version })
    .from(session)
    .where(and(eq(session.id, id), ownedSession(userId)));
  if (!row) throw notFound("session", id);
  return row.version;
}

/** The ETag of a session. */
export const sessionTag = (id: string, version: number) => weakEtag("session", id.toLowerCase(), version);

/** @throws AppError `parent_session_not_found` for a parent that is not the user's. */
export async function requireParent(tx: Transaction, userId: string, id: string): Promise<void> {
  const [row] = await tx
    .select({ id: session.id })
    .from(session)
    .where(and(eq(session.id, id), ownedSession(userId)));
  if (!row) throw notFound("parent session", id);
}

/** For the title-generator. Undefined where the session was deleted. */
export async function firstPromptOf(
  orm: Orm,
  sessionId: string,
): Promise<{ promptText: string; derivedTitle: string } | undefined> {
  const [row] = await orm
    .select({ data: prompt.data })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(eq(prompt.sessionId, sessionId), isNull(session.deletedAt)))
    .orderBy(asc(prompt.seq))
    .limit(1);
  const text = row && promptText(row.data);
  return text === undefined ? undefined : { promptText: text, derivedTitle: titleOf(text) };
}

/** Replaces the derived title, unless it was changed meanwhile. */
export async function setGeneratedTitle(
  orm: Orm,
  sessionId: string,
  change: { from: string; to: string },
): Promise<void> {
  await orm
    .update(session)
    .set({ title: change.to, updatedAt: sql`now()` })
    .where(and(eq(session.id, sessionId), eq(session.title, change.from)));
}
