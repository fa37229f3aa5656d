import { type Placeholder, type SQL, sql } from "drizzle-orm";
import type { AnyPgInsert } from "drizzle-orm/pg-core";
import type { Queryable } from "./client.ts";

/** Values of which each may also be given when the statement is executed. */
export type Given<Row> = { [Column in keyof Row]: Row[Column] | Placeholder };

/**
 * Inserts as one statement, which takes one round trip, and outside of a transaction one commit: their rows are there together,
 * or none is. References between them are checked at its end, whatever their order.
 * @param last what it ends with; it sees none of the rows.
 */
export const insertTogether = (orm: Queryable, inserts: readonly AnyPgInsert[], last: SQL) =>
  orm
    .with(...inserts.map((one, n) => orm.$with(`insert_${n}`).as(one)))
    .select({ last })
    .from(sql`(select) one`)
    .prepare("insert_together");
