import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";

/** What sessions keep in the database to go on on any machine. */
export interface KeptUsage {
  /** Of all pieces with their indexes, as the database stores them. */
  bytes: number;
  /** Sessions with work that could not be pushed. */
  unpushed: number;
  /** Those of them whose work is too large for the database, and on one machine alone. */
  onOneMachine: number;
}

/** Of the whole database, for the operator. Its cost does not grow with what is kept. */
export async function readKeptUsage(orm: Orm): Promise<KeptUsage> {
  const [row] = await rowsOf<Record<keyof KeptUsage, string>>(
    orm,
    sql`select pg_total_relation_size('session_chunk') as bytes, count(*) as unpushed, count(host) as "onOneMachine"
      from unpushed_work`,
  );
  const { bytes = 0, unpushed = 0, onOneMachine = 0 } = row ?? {};
  return { bytes: Number(bytes), unpushed: Number(unpushed), onOneMachine: Number(onOneMachine) };
}
