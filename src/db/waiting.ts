import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";

export interface WaitingCount {
  cause: string;
  count: number;
  /** Of the prompt that has waited longest. */
  reason: string;
}

/** How many prompts wait for something else than their turn and their user, by what it is. Reads one partial index. */
export async function readWaiting(orm: Orm): Promise<WaitingCount[]> {
  const rows = await rowsOf<WaitingCount>(
    orm,
    sql`select waiting ->> 'for' as cause, count(*) as count,
        (array_agg(waiting ->> 'reason' order by waiting ->> 'since'))[1] as reason
      from session where waiting is not null and waiting ->> 'for' <> 'permission' group by 1 order by 1`,
  );
  return rows.map((row) => ({ ...row, count: Number(row.count) }));
}
