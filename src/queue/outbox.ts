import { and, eq, inArray, isNull, lte, type SQL, sql } from "drizzle-orm";
import { type Orm, type Queryable, rowsOf, type Transaction } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import type { Given } from "../db/insert-together.ts";
import { deleteBatch, olderThan } from "../db/purge.ts";
import { outbox } from "../db/service-tables.ts";
import { eachText } from "../db/text-list.ts";
import { CHANNELS, type Payloads, type QueueName } from "./names.ts";

/** A due row. Its id is also the job's id, so that publishing it twice makes one job. */
export interface OutboxMessage {
  id: string;
  topic: QueueName;
  payload: Payloads[QueueName];
}

/**
 * Writes a job to the outbox in the caller's transaction: it is published if and only if that commits. The NOTIFY wakes
 * the publisher at once.
 * @param message.key the entity that the job is about.
 * @param message.delayMs when to publish it at the earliest, milliseconds from now; default 0.
 * @param message.alsoNotify a subquery that notifies others, in the same statement; not where there is a delay.
 */
export async function enqueue<Topic extends QueueName>(
  tx: Transaction,
  message: { topic: Topic; key: string; payload: Payloads[Topic]; delayMs?: number; alsoNotify?: SQL },
): Promise<void> {
  const { delayMs = 0, alsoNotify, ...job } = message;
  await outboxInsert(tx, { id: Bun.randomUUIDv7(), ...job }, delayMs);
  // The publisher may rest until the next row that it knows of.
  await notifyOutbox(tx, delayMs === 0 ? alsoNotify : undefined);
}

/** The insert alone; the caller notifies. */
export function outboxInsert<Topic extends QueueName>(
  orm: Queryable,
  { topic, ...rest }: { topic: Topic } & Given<{ id: string; key: string; payload: Payloads[Topic] }>,
  delayMs = 0,
) {
  const nextAttemptAt = sql`now() + ${Math.ceil(delayMs)}::int * interval '1 millisecond'`;
  return orm.insert(outbox).values({ topic, ...rest, nextAttemptAt });
}

/** In a statement: wakes the publisher, and processes that wait for a prompt they may start. */
export const notifiesOutbox: SQL = sql`pg_notify(${CHANNELS.outbox}, '')`;

/** Wakes the publisher, and processes that wait for a prompt they may start, once the transaction commits. */
export async function notifyOutbox(orm: Queryable, alsoNotify = sql`null`): Promise<void> {
  await orm.execute(sql`select ${notifiesOutbox}, ${alsoNotify}`);
}

/** Wakes the effect-runners, once the transaction commits. */
export async function notifyEffects(orm: Queryable): Promise<void> {
  await orm.execute(sql`select pg_notify(${CHANNELS.effect}, '')`);
}

/**
 * Claims up to `limit` due rows by postponing their next attempt (1 s, doubling to 64 s, ±50 %): a concurrent publisher
 * does not take them, and a crash of this one does not lose them.
 */
export async function claimOutbox(orm: Orm, limit: number): Promise<OutboxMessage[]> {
  const due = orm
    .select({ id: outbox.id })
    .from(outbox)
    .where(and(isNull(outbox.publishedAt), lte(outbox.nextAttemptAt, storedNow)))
    .orderBy(outbox.nextAttemptAt, outbox.id)
    .limit(limit)
    .for("update", { skipLocked: true });
  const rows = await orm
    .update(outbox)
    .set({
      attempts: sql`${outbox.attempts} + 1`,
      nextAttemptAt: sql`now() + interval '1 second' * power(2, least(${outbox.attempts}, 6)) * (0.5 + random())`,
      updatedAt: sql`now()`,
    })
    .where(inArray(outbox.id, due))
    .returning({ id: outbox.id, topic: outbox.topic, payload: outbox.payload });
  return rows.sort((a, b) => (a.id < b.id ? -1 : 1)) as unknown as OutboxMessage[];
}

/** How many milliseconds until the next row is due; null: none will be. */
export async function nextOutboxMs(orm: Orm): Promise<number | null> {
  const [row] = await rowsOf<{ ms: string | number | null }>(
    orm,
    sql`select extract(epoch from min(next_attempt_at) - now()) * 1000 as ms from outbox where published_at is null`,
  );
  return row?.ms == null ? null : Number(row.ms);
}

/** One statement, however many there are. */
const isOne = (ids: readonly string[]) =>
  sql`${outbox.id} = any(array(select one::uuid from ${eachText(ids)} as each (one)))`;

/** Records that the jobs of these rows are in the queue. */
export async function markPublished(orm: Orm, ids: readonly string[]): Promise<void> {
  await orm
    .update(outbox)
    .set({ publishedAt: sql`now()`, lastError: null, updatedAt: sql`now()` })
    .where(isOne(ids));
}

/** What the message was to start has started: nobody needs its job any more. */
export async function dropMessage(tx: Queryable, topic: QueueName, key: string): Promise<void> {
  await tx
    .update(outbox)
    .set({ publishedAt: sql`now()`, updatedAt: sql`now()` })
    .where(and(eq(outbox.topic, topic), eq(outbox.key, key), isNull(outbox.publishedAt)));
}

/** How long published rows are kept for troubleshooting, seconds. */
const PUBLISHED_KEPT_S = 86_400;

/** Purges a batch of rows that were published more than a day ago. @returns how many. */
export const purgePublished = (orm: Orm): Promise<number> =>
  deleteBatch(orm, outbox, olderThan(outbox.publishedAt, PUBLISHED_KEPT_S));

/** Records that the queue did not accept these rows; they are due again at their next attempt. */
export async function markUnpublished(orm: Orm, ids: readonly string[], error: string): Promise<void> {
  await orm.update(outbox).set({ lastError: error, updatedAt: sql`now()` }).where(isOne(ids));
}
