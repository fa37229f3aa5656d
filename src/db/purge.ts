import { type SQL, sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { type Orm, rowsOf, type Transaction } from "./client.ts";

/** How many rows one statement deletes, in some milliseconds. */
export const PURGE_BATCH = 500;
/** An arbitrary number. Held for one batch, because triggers of concurrent purges could deadlock. */
const LOCK = 7_331_050;

/**
 * Deletes up to `limit` rows that match `condition`, except locked ones. Any number of processes may purge: they take
 * turns, batch by batch.
 * @returns how many; fewer than `limit` when no more are left.
 */
export function deleteBatch(orm: Orm, table: PgTable, condition: SQL, limit = PURGE_BATCH): Promise<number> {
  return withPurgeLock(orm, async (tx) => {
    const rows = await rowsOf<{ count: number | string }>(
      tx,
      sql`with gone as (delete from ${table} where ctid = any(array(
        select ctid from ${table} where ${condition} limit ${limit} for update skip locked)) returning 1)
        select count(*) as count from gone`,
    );
    return Number(rows[0]?.count ?? 0);
  });
}

/** Runs `work` in a transaction while no other process of the cluster does. */
export function withPurgeLock<T>(orm: Orm, work: (tx: Transaction) => Promise<T>): Promise<T> {
  return orm.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${LOCK})`);
    return work(tx);
  });
}

/** True for times more than this many seconds ago, by the database's clock. */
export const olderThan = (column: unknown, seconds: number) =>
  sql`${column} < now() - make_interval(secs => ${seconds}::double precision)`;

/** A globally unique id of this database, which a restart or a change of address does not change. */
export async function databaseIdentity(orm: Orm): Promise<string> {
  const [row] = await rowsOf<{ id: string }>(
    orm,
    sql`select system_identifier::text || '/' || (select oid::text from pg_database where datname = current_database()) as id
      from pg_control_system()`,
  );
  return row?.id ?? "";
}
