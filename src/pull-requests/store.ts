import { and, eq, isNull } from "drizzle-orm";
import type { Orm, Queryable, Transaction } from "../db/client.ts";
import { pullRequest } from "../db/effect-tables.ts";
import type { Turn } from "../db/json-columns.ts";
import { session } from "../db/tables.ts";
import { intend } from "../effects/ledger-store.ts";
import { intendPullRequest, lastPush } from "../effects/pull-request-store.ts";
import type { MergeMethod } from "../forges/forge.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
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
    .where(ownedSessionById(userId, sessionId));
  if (!row) throw notFound("session", sessionId);
  return row;
}

/** Locks the session's row, so that one pull request is made of it. */
async function lockOwn(tx: Transaction, userId: string, sessionId: string) {
  const [row] = await tx
    .select(columns)
    .from(session)
    .where(ownedSessionById(userId, sessionId))
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
    /** The head that this user has seen; undefined: what anybody was shown last. */
    head: string | undefined;
  },
): Promise<string | undefined> {
  const { userId, sessionId, targetOf, method, head } = wanted;
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
  if (head !== undefined && head !== row.head)
    throw new AppError(
      "pull_request_not_mergeable",
      `The branch of ${row.url} has moved: it is at ${row.head}, not at ${head}. Look at it again, then merge it.`,
    );
  return intend(tx, {
    ...{ sessionId: own.id, kind: "merge", target: `${targetOf(own.repo).url}#${row.base}` },
    key: `${row.number} ${row.head}`,
    request: { number: row.number, commit: row.head, method },
  });
}
