import { and, asc, count, eq, gt, inArray, isNull, max, sql } from "drizzle-orm";
import type { Orm, Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { AppError } from "../errors.ts";
import { weakTag } from "../etag.ts";
import { decodeSeq, type Page, pageOf } from "../paging.ts";
import { QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";

/** Seconds after which a user over the quota may look again; prompts end when they end. */
const QUOTA_RETRY_S = 60;

/** A user's prompts that wait or run; counts no further than `atMost`. One look at an index. */
export async function countUnfinished(
  orm: Orm | Transaction,
  userId: string,
  atMost: number,
): Promise<number> {
  const some = orm
    .select({ id: prompt.userId })
    .from(prompt)
    .where(and(eq(prompt.userId, userId), inArray(prompt.status, ["Queued", "Running"])))
    .limit(atMost)
    .as("some");
  const [row] = await orm.select({ count: count() }).from(some);
  return row?.count ?? 0;
}

/**
 * A waiting prompt and the promise of its job, in the caller's transaction.
 * @param maxUnfinished the user's quota; requests at the same moment may pass it together, by as many as they are.
 * @throws AppError `too_many_requests` when the user has so many prompts that wait or run.
 */
export async function insertPrompt(
  tx: Transaction,
  row: { id: string; sessionId: string; userId: string; seq: number; data: unknown; priority: number },
  maxUnfinished: number,
): Promise<void> {
  if ((await countUnfinished(tx, row.userId, maxUnfinished)) >= maxUnfinished)
    throw new AppError(
      "too_many_requests",
      `You have ${maxUnfinished} prompts that wait or run, and more are not taken; wait until some have ended, or cancel some.`,
      { retryAfter: QUOTA_RETRY_S },
    );
  await tx.insert(prompt).values(row);
  await enqueue(tx, { topic: QUEUES.promptRun, key: row.id, payload: { prompt_id: row.id } });
}

export type PromptRow = typeof prompt.$inferSelect;

const noSession = (id: string) => new AppError("not_found", `The session ${id} does not exist.`);

/** A session's prompts in their order. @throws AppError `not_found`, also where it is somebody else's. */
export async function listPrompts(
  orm: Orm,
  wanted: { userId: string; sessionId: string; limit?: number | undefined; cursor?: string | undefined },
): Promise<Page<PromptRow>> {
  const { userId, sessionId, limit, cursor } = wanted;
  const rows = orm
    .select({ prompt })
    .from(session)
    .leftJoin(prompt, and(eq(prompt.sessionId, session.id), gt(prompt.seq, decodeSeq(cursor))))
    .where(and(eq(session.id, sessionId), eq(session.userId, userId), isNull(session.deletedAt)))
    .orderBy(asc(prompt.seq));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw noSession(sessionId);
  return pageOf(
    found.flatMap((row) => row.prompt ?? []),
    limit,
    ({ seq }) => String(seq),
  );
}

/**
 * A validator of the list: prompts get no lower number, and each visible change counts its prompt up, so that the same
 * last one, number and sum are the same prompts in the same state. @throws AppError `not_found`
 */
export async function promptsTag(
  orm: Orm,
  wanted: { userId: string; sessionId: string; limit?: number | undefined; cursor?: string | undefined },
): Promise<string> {
  const { userId, sessionId, limit, cursor } = wanted;
  const [all] = await orm
    .select({
      last: max(prompt.seq),
      count: count(prompt.id),
      versions: sql<string | null>`sum(${prompt.version})`,
    })
    .from(session)
    .leftJoin(prompt, eq(prompt.sessionId, session.id))
    .where(and(eq(session.id, sessionId), eq(session.userId, userId), isNull(session.deletedAt)))
    .groupBy(session.id);
  if (!all) throw noSession(sessionId);
  return weakTag("prompts", sessionId, limit, cursor, all.last, all.count, all.versions);
}
