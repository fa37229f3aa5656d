import { and, asc, eq, gte, inArray, lt, type SQL, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Transaction } from "../db/client.ts";
import type { FAILURE_KINDS } from "../db/columns.ts";
import { deadLetter, session } from "../db/tables.ts";
import { notifySandboxIdle } from "../lifecycle/dispatch.ts";
import { revivePrompts } from "../lifecycle/revive.ts";
import { QUEUES } from "../queue/names.ts";
import { AppError } from "../shared/errors.ts";
import { actOn, closing, notPending, readDeadLetter, type Viewer, visibleTo } from "./store.ts";

/** Entries that one request may retry. */
const BATCH = 500;

export interface RetryFilter {
  taskType?: string | undefined;
  kind?: (typeof FAILURE_KINDS)[number] | undefined;
  ids?: string[] | undefined;
  failedBefore?: string | undefined;
  failedAfter?: string | undefined;
}

interface Entry {
  id: string;
  taskType: string;
  entityId: string;
  owner: string | null;
}

/** Retries a dead letter. @throws AppError `dead_letter_not_found`, `dead_letter_closed`, `nothing_to_retry`. */
export async function retryDeadLetter(
  orm: Orm,
  wanted: { viewer: Viewer; id: string; notes: string | null },
): Promise<void> {
  const { viewer, id, notes } = wanted;
  await orm.transaction(async (tx) => {
    const { entries } = await lockPending(tx, viewer, eq(deadLetter.id, id));
    const [entry] = entries;
    if (!entry) throw notPending((await readDeadLetter(tx, viewer, id)).status);
    const done = await retry(tx, { viewer, entries, notes });
    if (done.length === 0)
      throw new AppError(
        "nothing_to_retry",
        "There is nothing to retry: the session was deleted, or its prompt is no longer failed. Resolve or abandon this entry.",
      );
  });
}

/** Retries all Pending entries that match. @returns which were retried, which could not be, and whether more match. */
export async function retryDeadLetters(
  orm: Orm,
  wanted: { viewer: Viewer; filter: RetryFilter; notes: string | null },
): Promise<{ retried: string[]; skipped: string[]; more: boolean }> {
  const { viewer, filter, notes } = wanted;
  const { taskType, kind, ids, failedBefore, failedAfter } = filter;
  return orm.transaction(async (tx) => {
    const { entries, more } = await lockPending(
      tx,
      viewer,
      and(
        taskType === undefined ? undefined : eq(deadLetter.taskType, taskType),
        kind === undefined ? undefined : eq(deadLetter.kind, kind),
        ids === undefined ? undefined : inArray(deadLetter.id, ids),
        failedBefore === undefined ? undefined : lt(deadLetter.lastErrorAt, new Date(failedBefore)),
        failedAfter === undefined ? undefined : gte(deadLetter.lastErrorAt, new Date(failedAfter)),
      ),
    );
    const retried = await retry(tx, { viewer, entries, notes });
    const done = new Set(retried);
    return { retried, skipped: entries.map(({ id }) => id).filter((id) => !done.has(id)), more };
  });
}

async function lockPending(tx: Transaction, viewer: Viewer, which: SQL | undefined) {
  const found: Entry[] = await tx
    .select({
      id: deadLetter.id,
      taskType: deadLetter.taskType,
      entityId: deadLetter.entityId,
      owner: deadLetter.userId,
    })
    .from(deadLetter)
    .where(and(visibleTo(viewer), eq(deadLetter.status, "Pending"), which))
    .orderBy(asc(deadLetter.createdAt), asc(deadLetter.id))
    .limit(BATCH + 1)
    .for("update");
  return { entries: found.slice(0, BATCH), more: found.length > BATCH };
}

/** @returns the entries that were retried; they are Resolved now. */
async function retry(
  tx: Transaction,
  wanted: { viewer: Viewer; entries: Entry[]; notes: string | null },
): Promise<string[]> {
  const { viewer, entries, notes } = wanted;
  const idsOf = (some: Entry[]) => some.map(({ entityId }) => entityId);
  const done = new Set([
    ...(await revivePrompts(tx, idsOf(entries.filter(({ taskType }) => taskType === QUEUES.promptRun)))),
    ...(await returnAgain(tx, idsOf(entries.filter(({ taskType }) => taskType !== QUEUES.promptRun)))),
  ]);
  const again = entries.filter(({ entityId }) => done.has(entityId));
  const retried = again.map(({ id }) => id);
  if (retried.length > 0)
    await tx
      .update(deadLetter)
      .set(closing(viewer, "Resolved", notes))
      .where(inArray(deadLetter.id, retried));
  await recordAudit(tx, ...again.map((entry) => actOn(viewer, "dead_letter.retry", entry)));
  return retried;
}

/** For sandboxes that could not be returned: the sessions' counters start over, and the poller is woken. */
async function returnAgain(tx: Transaction, ids: string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const again = await tx
    .update(session)
    .set({ ipReturnRetryCount: 0, updatedAt: sql`now()` })
    .where(inArray(session.id, ids))
    .returning({ id: session.id });
  if (again.length > 0) await notifySandboxIdle(tx);
  return again.map(({ id }) => id);
}
