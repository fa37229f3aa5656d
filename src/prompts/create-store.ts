import { and, count, eq, sql } from "drizzle-orm";
import { type Attachment, storeAttachments } from "../attachments/store.ts";
import type { Author } from "../auth/claims.ts";
import { type AuditEntry, recordAudit } from "../db/audit-log.ts";
import type { Queryable, Transaction } from "../db/client.ts";
import type { PromptKind, RunMode } from "../db/columns.ts";
import type { Given } from "../db/insert-together.ts";
import { prompt, session } from "../db/tables.ts";
import { type AskedChoice, resolveChoice } from "../fleet/choice.ts";
import { enqueueRun } from "../lifecycle/dispatch.ts";
import { lockSession } from "../lifecycle/locks.ts";
import { queuePrompt, userTurn } from "../lifecycle/queue-prompt.ts";
import { PUSH } from "../lifecycle/queue-push.ts";
import { requireProjectBudget } from "../projects/budget-store.ts";
import { repoKey } from "../projects/repo-key.ts";
import type { RepoRules } from "../sandboxes/git/repo-url.ts";
import type { SyncStrategy } from "../sandboxes/sandbox.ts";
import { AppError } from "../shared/errors.ts";

/** Retry-After of a user over the quota, seconds; nobody knows when prompts end. */
const QUOTA_RETRY_S = 60;

/**
 * The number of a user's unfinished prompts, counted up to `atMost`. One scan of a partial index, which the server can plan
 * only where the statuses are in the statement's text.
 */
export async function countUnfinished(orm: Queryable, userId: string, atMost: number): Promise<number> {
  const [row] = await orm.select({ count: count() }).from(unfinished(orm, userId, atMost));
  return row?.count ?? 0;
}

/** The rows to count. */
export const unfinished = (orm: Queryable, userId: string, atMost: number) =>
  orm
    .select({ id: prompt.userId })
    .from(prompt)
    .where(and(eq(prompt.userId, userId), sql`${prompt.status} in ('Queued', 'Running')`))
    .limit(atMost)
    .as("some");

/**
 * @param count of unfinished prompts, by countUnfinished. @param maxUnfinished the user's quota; concurrent requests may exceed it together, by their number.
 * @throws AppError `prompt_quota_reached`.
 */
export function requireQuota(count: number, maxUnfinished: number): void {
  if (count >= maxUnfinished)
    throw new AppError(
      "prompt_quota_reached",
      `You have reached the limit of ${maxUnfinished} unfinished prompts; wait until some have ended, or cancel some.`,
      { retryAfter: QUOTA_RETRY_S },
    );
}

interface PromptColumns {
  id: string;
  sessionId: string;
  userId: string;
  seq: number;
  kind?: PromptKind;
  agent?: string | null;
  model?: string | null;
  mode?: RunMode;
  maxTurns?: number | null;
  budget?: number | null;
  data: unknown;
  priority: number;
  authorName: string | null;
  authorEmail: string | null;
}

/** Named in the commits that are made for a prompt. */
export const authorColumns = (author: Author | undefined) => ({
  authorName: author?.name ?? null,
  authorEmail: author?.email ?? null,
});

/** The insert of a waiting prompt, which somebody has to dispatch. */
export const promptInsert = (orm: Queryable, columns: Given<PromptColumns>) =>
  orm.insert(prompt).values(columns);

/** The entry of the audit log for a new prompt. */
export const promptCreated = (row: { id: string; sessionId: string; userId: string }): AuditEntry => ({
  actor: row.userId,
  action: "prompt.create",
  target: `prompt:${row.id}`,
  detail: { session: row.sessionId },
});

export interface NewPrompt {
  userId: string;
  /** Named in the commits that are made for it. */
  author: Author | undefined;
  sessionId: string;
  /** Default: an agent's. */
  kind?: PromptKind;
  data: unknown;
  text: string;
  attachments?: readonly Attachment[];
  priority: number;
  /** Default: as the session's newest prompt. */
  asked?: AskedChoice;
  /** By which the project of its repository is found, whose budget is the most that it may ask for. */
  rules?: RepoRules;
  maxUnfinished: number;
}

/**
 * Adds a prompt to a session in any state: it runs when those before it have ended.
 * @throws AppError `session_not_found`, and see `resolveChoice`.
 */
export async function addPrompt(tx: Transaction, wanted: NewPrompt): Promise<{ id: string }> {
  const { userId, author, sessionId, kind = "agent", data, text, priority, maxUnfinished } = wanted;
  const id = Bun.randomUUIDv7();
  await lockSession(tx, sessionId);
  const { seq, ...queued } = await queuePrompt(tx, { sessionId, userId, turn: userTurn(text, id) });
  requireQuota(await countUnfinished(tx, userId, maxUnfinished), maxUnfinished);
  const row = { id, sessionId: queued.sessionId, userId, seq, kind, data, priority };
  // Without an agent there is nothing to choose, and the next prompt goes on with what the one before has.
  const budget = wanted.asked?.budget;
  // Of a repository that is not to be had here any more, only the run says so.
  if (wanted.rules && budget !== undefined)
    await requireProjectBudget(tx, { userId, repoKey: repoKey(queued.repo, wanted.rules), budget });
  const chosen = kind === "agent" ? await resolveChoice(tx, wanted.asked ?? {}, queued) : undefined;
  if (chosen?.choice)
    await tx.update(session).set({ choice: chosen.choice }).where(eq(session.id, queued.sessionId));
  await promptInsert(tx, { ...row, ...chosen?.columns, ...authorColumns(author) });
  await storeAttachments(tx, { userId, promptId: id, attachments: wanted.attachments ?? [] });
  await enqueueRun(tx, id);
  await recordAudit(tx, promptCreated({ id, sessionId: queued.sessionId, userId }));
  return { id };
}

/** Adds a prompt that takes the target branch into the session's, without an agent. @throws AppError `session_not_found` */
export function addSync(
  tx: Transaction,
  wanted: Pick<NewPrompt, "userId" | "author" | "sessionId" | "maxUnfinished"> & { strategy: SyncStrategy },
): Promise<{ id: string }> {
  const { strategy, ...about } = wanted;
  const text =
    strategy === "merge" ? "Merge the target branch in." : "Rebase the branch onto its target branch.";
  return addPrompt(tx, { ...about, kind: "sync", data: { text, strategy }, text, priority: 0 });
}

/** Adds a prompt that pushes what the session has to its branch, without an agent. @throws AppError `session_not_found` */
export const addPush = (
  tx: Transaction,
  wanted: Pick<NewPrompt, "userId" | "sessionId" | "maxUnfinished">,
): Promise<{ id: string }> =>
  addPrompt(tx, { ...wanted, kind: "push", author: undefined, data: PUSH, text: PUSH, priority: 0 });
