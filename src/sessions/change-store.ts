import { and, eq, isNotNull, sql } from "drizzle-orm";
import { requireMatch, versionTag } from "../api/etag.ts";
import { recordAudit } from "../db/audit-log.ts";
import { isUniqueViolation, type Orm, rowsOf, type Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { archiveSession, reopenSession } from "../lifecycle/archive.ts";
import { requestCancel } from "../lifecycle/cancel.ts";
import { lockSession } from "../lifecycle/locks.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { type UiStatus, uiStatusOf } from "../lifecycle/ui-status.ts";
import { checkSessionBranch } from "../sandboxes/git/repo-url.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { toSandboxDto } from "./dto.ts";
import { requireParent, type SessionRow, sessionColumns } from "./store.ts";

/** What a client sends, changed or not. Undefined, and null except for the parent: unchanged. */
export interface SessionChange {
  title?: string | null | undefined;
  branch?: string | null | undefined;
  repo?: string | null | undefined;
  targetBranch?: string | null | undefined;
  parent?: string | null | undefined;
  sbxConfig?: unknown;
  uiStatus?: UiStatus | null | undefined;
}

/**
 * @throws AppError `session_not_found`; `precondition_failed`; `branch_taken`, `session_started`, `sandbox_not_writable`,
 *   `status_not_writable`; `invalid_branch`, `invalid`.
 */
export async function updateSession(
  orm: Orm,
  wanted: { userId: string; id: string; ifMatch: string | null; branchPrefix: string; change: SessionChange },
): Promise<void> {
  const { userId, id, ifMatch, branchPrefix, change } = wanted;
  try {
    await orm.transaction(async (tx) => {
      const [row] = await tx
        .select({ ...sessionColumns, version: session.version })
        .from(session)
        .where(ownedSessionById(userId, id))
        .for("no key update");
      if (!row) throw notFound("session", id);
      requireMatch(ifMatch, versionTag(row.id, row.version));
      requireSameSandbox(row, change.sbxConfig);
      const set = {
        ...(await changedTarget(tx, row, change, branchPrefix)),
        ...(await changedParent(tx, row, change.parent)),
        ...(change.title != null && change.title !== row.title && { title: change.title }),
      };
      if (Object.keys(set).length > 0)
        await tx
          .update(session)
          .set({ ...set, updatedAt: sql`now()` })
          .where(eq(session.id, row.id));
      const transition = transitionFor(row, change.uiStatus);
      await transition?.(tx, row.id);
      const entry = { actor: userId, target: `session:${row.id}` };
      const { repo, branch, targetBranch, parent, title } = set as Partial<SessionRow>;
      if (Object.keys(set).length > 0)
        await recordAudit(tx, {
          ...entry,
          action: "session.update",
          // The title may repeat the prompt.
          detail: { repo, branch, target_branch: targetBranch, parent, ...(title && { title: "changed" }) },
        });
      if (transition)
        await recordAudit(tx, {
          ...entry,
          action: transition === archiveSession ? "session.archive" : "session.reopen",
        });
    });
  } catch (error) {
    if (isUniqueViolation(error, "session_user_repo_branch"))
      throw new AppError(
        "branch_taken",
        "branch: another session of yours has this branch of this repository; choose another name.",
      );
    throw error;
  }
}

function requireSameSandbox(row: SessionRow, sent: unknown): void {
  if (sent === undefined || Bun.deepEquals(sent, toSandboxDto(row.sbxConfig))) return;
  throw new AppError(
    "sandbox_not_writable",
    "sbx_config: only the service changes the sandbox; leave the field out, or send what a read shows now.",
  );
}

/** Repository and branches, as long as no work has been done. */
async function changedTarget(tx: Transaction, row: SessionRow, change: SessionChange, branchPrefix: string) {
  const repo = change.repo ?? row.repo;
  const branch = change.branch ?? row.branch;
  const targetBranch = change.targetBranch ?? row.targetBranch;
  if (repo === row.repo && branch === row.branch && targetBranch === row.targetBranch) return {};
  // A branch from before BRANCH_PREFIX is not what this changes; the push refuses what the session did not make.
  checkSessionBranch(branch, branch === row.branch ? "" : branchPrefix, targetBranch);
  // A claim locks its prompt, then this session: one that is in progress reads what is stored here.
  const [started] = await tx
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(eq(prompt.sessionId, row.id), isNotNull(prompt.startedAt)))
    .limit(1);
  if (started || row.sbxConfig)
    throw new AppError(
      "session_started",
      "repo, branch and target_branch can be changed only before the first prompt has started; create a new session instead.",
    );
  if (repo !== row.repo && row.conversationId !== null)
    throw new AppError(
      "session_started",
      "repo: a fork goes on with the work of its parent, in the same repository; create a new session instead.",
    );
  return { repo, branch, targetBranch };
}

async function changedParent(tx: Transaction, row: SessionRow, parent: string | null | undefined) {
  const wanted = parent?.toLowerCase() ?? parent;
  if (wanted === undefined || wanted === row.parent) return {};
  if (wanted === null) return { parent: null };
  await requireParent(tx, row.userId, wanted);
  const circle = await rowsOf(
    tx,
    sql`with recursive above as (
        select id, parent from session where id = ${wanted}::uuid
        union select s.id, s.parent from session s join above on s.id = above.parent)
      select id from above where id = ${row.id}::uuid`,
  );
  if (circle.length > 0)
    throw new AppError("invalid", "parent: a session cannot be its own parent, nor a child of its children.");
  return { parent: wanted };
}

/** What a client's `ui_status` asks for; undefined: no change. @throws AppError `status_not_writable` */
function transitionFor(row: SessionRow, wanted: UiStatus | null | undefined) {
  const now = uiStatusOf(row);
  if (wanted == null || wanted === now) return undefined;
  if (wanted === "Archived") return archiveSession;
  if (wanted === "NeedsReview") {
    if (now === "Archived") return reopenSession;
    if (now === "NeedsReviewIpReturned") return undefined;
  }
  throw new AppError(
    "status_not_writable",
    `ui_status: only the service sets ${wanted}, and this session is ${now}; a client may set Archived, or NeedsReview to reopen an archived session.`,
  );
}

/**
 * Returns at once; idempotent and valid in every state. The runner stops a running prompt.
 * @throws AppError `session_not_found`
 */
export async function cancelSession(orm: Orm, wanted: { userId: string; id: string }): Promise<void> {
  await orm.transaction(async (tx) => {
    await cancelOwn(tx, wanted);
    await recordAudit(tx, { actor: wanted.userId, action: "session.cancel", target: `session:${wanted.id}` });
  });
}

/** Hides the session, cancels its prompts, and lets its sandbox be returned. @throws AppError `session_not_found` */
export async function deleteSession(orm: Orm, wanted: { userId: string; id: string }): Promise<void> {
  await orm.transaction(async (tx) => {
    await cancelOwn(tx, wanted);
    await tx
      .update(session)
      .set({ deletedAt: sql`now()`, updatedAt: sql`now()` })
      .where(eq(session.id, wanted.id));
    await recordAudit(tx, { actor: wanted.userId, action: "session.delete", target: `session:${wanted.id}` });
  });
}

async function cancelOwn(tx: Transaction, { userId, id }: { userId: string; id: string }): Promise<void> {
  await lockSession(tx, id);
  const [row] = await tx.select({ id: session.id }).from(session).where(ownedSessionById(userId, id));
  if (!row) throw notFound("session", id);
  await requestCancel(tx, { sessionId: row.id, by: userId });
}
