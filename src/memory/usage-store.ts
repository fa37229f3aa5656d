import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";

/** What sessions keep in the database to go on on any machine. */
export interface KeptUsage {
  /** Of all pieces with their indexes, as the database stores them. */
  bytes: number;
  /** Sessions with work that could not be pushed. */
  unpushed: number;
}

/** Of the whole database, for the operator. Its cost does not grow with what is kept. */
export async function readKeptUsage(orm: Orm): Promise<KeptUsage> {
  const [row] = await rowsOf<{ bytes: string; unpushed: string }>(
    orm,
    sql`select pg_total_relation_size('session_chunk') as bytes, (select count(*) from unpushed_work) as unpushed`,
  );
  return { bytes: Number(row?.bytes ?? 0), unpushed: Number(row?.unpushed ?? 0) };
}
