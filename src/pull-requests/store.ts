import { and, eq, isNull, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Queryable, Transaction } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { pullRequest } from "../db/effect-tables.ts";
import type { Turn } from "../db/json-columns.ts";
import { session } from "../db/tables.ts";
import { intend } from "../effects/ledger-store.ts";
import { intendPullRequest, lastPush } from "../effects/pull-request-store.ts";
import type { MergeMethod, PullRequest } from "../forges/forge.ts";
import { archiveSession } from "../lifecycle/archive.ts";
import { ownedSession } from "../lifecycle/ownership.ts";
import { AppError, notFound } from "../shared/errors.ts";

export type PullRequestRow = typeof pullRequest.$inferSelect;

/** What a pull request is made of. */
export interface PullRequestSession {
  id: string;
  userId: string;
  repo: string;
  branch: string;
  title: string;
  pushedCommit: string | null;
  asked: string;
  done: string;
}

const columns = {
  id: session.id,
  userId: session.userId,
  repo: session.repo,
  branch: session.branch,
  title: session.title,
  targetBranch: session.targetBranch,
  pushedCommit: session.pushedCommit,
};

/** Undefined: it was deleted. */
export async function sessionOf(orm: Orm, id: string): Promise<PullRequestSession | undefined> {
  const [row] = await orm
    .select({ ...columns, messages: session.messages })
    .from(session)
    .where(and(eq(session.id, id), isNull(session.deletedAt)));
  if (!row) return undefined;
  const { messages, ...rest } = row;
  const said = (role: Turn["role"]) =>
    messages.filter((turn) => turn.role === role).map((turn) => turn.content);
  return { ...rest, asked: said("user").join("\n\n"), done: said("assistant").at(-1) ?? "" };
}

/** The session's repository, and its pull request if it has one. @throws AppError `session_not_found` */
export async function readPullRequest(orm: Queryable, userId: string, sessionId: string) {
  const [row] = await orm
    .select({ repo: session.repo, pullRequest })
    .from(session)
    .leftJoin(pullRequest, eq(pullRequest.sessionId, session.id))
    .where(and(eq(session.id, sessionId), ownedSession(userId)));
  if (!row) throw notFound("session", sessionId);
  return row;
}

/** When a session is archived because of its pull request. closed: also without a merge. */
export type ArchiveWhen = "never" | "merged" | "closed";

/**
 * Keeps what the host says now. A branch that is gone was at what it was at. One that has ended since it was kept last
 * archives its session, if that is wanted: a session that its user takes up again afterwards stays so.
 */
export async function keepState(
  orm: Orm,
  of: { sessionId: string; effectId: string },
  now: PullRequest,
  archiveWhen: ArchiveWhen,
): Promise<void> {
  const state = {
    effectId: of.effectId,
    ...{ number: now.number, url: now.url, title: now.title, state: now.state, draft: now.draft },
    ...{ base: now.base, mergeable: now.mergeable, createdAt: now.createdAt },
    checks: now.checks,
    reviews: now.reviews?.map((one) => ({ ...one, at: one.at?.toISOString() ?? null })) ?? null,
    readAt: storedNow,
  };
  const own = eq(pullRequest.sessionId, of.sessionId);
  await orm.transaction(async (tx) => {
    const [before] = await tx.select({ state: pullRequest.state }).from(pullRequest).where(own).for("update");
    await tx
      .insert(pullRequest)
      .values({ sessionId: of.sessionId, ...state, head: now.head })
      .onConflictDoUpdate({
        target: pullRequest.sessionId,
        set: {
          ...state,
          head: now.head ?? sql`case when ${pullRequest.number} = ${now.number} then ${pullRequest.head} end`,
        },
      });
    const ended = now.state === "merged" ? archiveWhen !== "never" : now.state === archiveWhen;
    if (before?.state !== "open" || !ended) return;
    await archiveSession(tx, of.sessionId);
    const detail = { pull_request: now.url, state: now.state };
    await recordAudit(tx, {
      actor: "forge",
      action: "session.archive",
      target: `session:${of.sessionId}`,
      detail,
    });
  });
}

/** Locks the session's row, so that one pull request is made of it. */
async function lockOwn(tx: Transaction, userId: string, sessionId: string) {
  const [row] = await tx
    .select(columns)
    .from(session)
    .where(and(eq(session.id, sessionId), ownedSession(userId)))
    .for("no key update");
  if (!row) throw notFound("session", sessionId);
  return row;
}

/**
 * @param wanted.targetOf where a repository is, for the ledger. @throws AppError where it has no forge.
 * @throws AppError `session_not_found`; `branch_not_pushed`; `invalid_branch`.
 */
export async function wantPullRequest(
  tx: Transaction,
  wanted: {
    userId: string;
    sessionId: string;
    targetOf: (repo: string) => { url: string };
    request: { title?: string; body?: string; draft?: boolean; base?: string };
  },
): Promise<string> {
  const row = await lockOwn(tx, wanted.userId, wanted.sessionId);
  const { url } = wanted.targetOf(row.repo);
  const base = wanted.request.base ?? row.targetBranch;
  if (base === row.branch)
    throw new AppError("invalid_branch", "base: must be another branch than the session's own.");
  const { pushedCommit } = row;
  const pushed = pushedCommit === null ? "failed" : await lastPush(tx, { id: row.id, pushedCommit });
  if (pushed !== "done")
    throw new AppError(
      "branch_not_pushed",
      pushed === "failed"
        ? `The branch ${row.branch} has not been pushed, so there is nothing to make a pull request of. Wait for the session's prompt to end, or push it with POST /sessions/${row.id}/push.`
        : `Whether the branch ${row.branch} has been pushed is not known yet. Wait for the session's prompt to end, or have it looked up with POST /sessions/${row.id}/push.`,
    );
  return intendPullRequest(tx, {
    session: row,
    target: `${url}#${row.branch}`,
    request: { ...wanted.request, base, draft: wanted.request.draft ?? false },
  });
}

/**
 * What was seen is merged: a head that has moved since is refused by the host.
 * @returns the effect; undefined: it is merged already.
 * @throws AppError `session_not_found`, `pull_request_not_found`; `pull_request_not_mergeable`.
 */
export async function wantMerge(
  tx: Transaction,
  wanted: {
    userId: string;
    sessionId: string;
    targetOf: (repo: string) => { url: string };
    method: MergeMethod;
  },
): Promise<string | undefined> {
  const { userId, sessionId, targetOf, method } = wanted;
  const own = await lockOwn(tx, userId, sessionId);
  const { pullRequest: row } = await readPullRequest(tx, userId, sessionId);
  if (!row)
    throw new AppError(
      "pull_request_not_found",
      `The session has no pull request. Make one with POST /sessions/${own.id}/pull-request.`,
    );
  if (row.state === "merged") return undefined;
  if (row.state === "closed" || row.head === null)
    throw new AppError(
      "pull_request_not_mergeable",
      `The pull request ${row.url} is closed, or its branch is gone. Open it again there.`,
    );
  return intend(tx, {
    ...{ sessionId: own.id, kind: "merge", target: `${targetOf(own.repo).url}#${row.base}` },
    key: `${row.number} ${row.head}`,
    request: { number: row.number, commit: row.head, method },
  });
}
