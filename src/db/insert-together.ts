import { type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { Queryable } from "./client.ts";

/**
 * Runs inserts as one statement, which takes one round trip, and outside of a transaction one commit: their rows are there
 * together, or none is. References between them are checked at its end, whatever their order.
 * @param then the end of the statement, which sees none of the rows: a `select`.
 */
export async function insertTogether(
  orm: Queryable,
  inserts: readonly SQLWrapper[],
  then: SQL,
): Promise<void> {
  const parts = inserts.map((one, n) => sql`${sql.identifier(`insert_${n}`)} as (${one.getSQL()})`);
  await orm.execute(sql`with ${sql.join(parts, sql`, `)} ${then}`);
}
