import { and, asc, eq, isNull, sql } from "drizzle-orm";
import { promptText } from "../agents/prompt-text.ts";
import type { Orm, Queryable } from "../db/client.ts";
import type { RunMode } from "../db/columns.ts";
import type { PromptChoice } from "../db/json-columns.ts";
import { isoTime, type JsonFields } from "../db/json-rows.ts";
import { prompt, session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { uiStatusSql } from "../lifecycle/ui-status.ts";
import { notFound } from "../shared/errors.ts";
import { titleOf } from "./naming.ts";

/** The columns that a SessionDto is made of, its user's and its conversation's id. */
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
  choice: session.choice,
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

/** For prompts that name none. */
const NO_MODE: RunMode = "auto";

/** What the session's next prompt has if it names nothing else. */
export const chosenOf = ({ choice }: Pick<typeof session.$inferSelect, "choice">): PromptChoice =>
  choice ?? { agent: null, model: null, mode: NO_MODE };

const waiting = (field: "for" | "reason" | "until") => sql`${session.waiting} -> ${sql.raw(`'${field}'`)}`;

/** A session as clients see it, without its conversation: SessionDto, made by PostgreSQL. A test compares it with `toDto`. */
export const sessionJson = {
  id: session.id,
  // Identifies the sandbox without its secrets.
  sbxConfig: sql`case when jsonb_typeof(${session.sbxConfig}) = 'object' then jsonb_build_object('provider', ${session.sbxConfig} -> 'provider', 'id', ${session.sbxConfig} -> 'id') end`,
  parent: session.parent,
  branch: session.branch,
  repo: session.repo,
  targetBranch: session.targetBranch,
  title: session.title,
  uiStatus: uiStatusSql,
  inboxStatus: session.inboxStatus,
  sessionStatus: session.sessionStatus,
  waitingFor: waiting("for"),
  waitingReason: waiting("reason"),
  nextAttemptAt: waiting("until"),
  // As `chosenOf`.
  agent: sql`${session.choice} -> 'agent'`,
  model: sql`${session.choice} -> 'model'`,
  mode: sql`coalesce(${session.choice} ->> 'mode', ${sql.raw(`'${NO_MODE}'`)})`,
  commentsVersion: session.commentsVersion,
  promptsVersion: session.promptsVersion,
  unread: session.unread,
  createdAt: isoTime(session.createdAt),
  updatedAt: isoTime(session.updatedAt),
  deletedAt: isoTime(session.deletedAt),
  cancellationStatus: session.cancellationStatus,
  cancelledAt: isoTime(session.cancelledAt),
  cancelledBy: session.cancelledBy,
} satisfies JsonFields;

export type SessionRow = Pick<typeof session.$inferSelect, keyof typeof sessionColumns>;

/** @throws AppError `parent_session_not_found` for a parent that is not the user's. */
export async function requireParent(tx: Queryable, userId: string, id: string): Promise<void> {
  const [row] = await tx.select({ id: session.id }).from(session).where(ownedSessionById(userId, id));
  if (!row) throw notFound("parent session", id);
}

/** For the title-generator. Undefined where the session was deleted. */
export async function firstPromptOf(
  orm: Orm,
  sessionId: string,
): Promise<{ promptText: string; derivedTitle: string; userId: string; repo: string } | undefined> {
  const [row] = await orm
    .select({ data: prompt.data, userId: session.userId, repo: session.repo })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(eq(prompt.sessionId, sessionId), isNull(session.deletedAt)))
    .orderBy(asc(prompt.seq))
    .limit(1);
  const text = row && promptText(row.data);
  if (!row || text === undefined) return undefined;
  return { promptText: text, derivedTitle: titleOf(text), userId: row.userId, repo: row.repo };
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
