import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";

/** Whether any prompt waits or runs, or a session waits for the end of a cancelled one. Reads one row of two partial indexes. */
export async function hasUnfinished(orm: Orm): Promise<boolean> {
  const rows = await rowsOf(
    orm,
    sql`select from prompt where status in ('Queued', 'Running')
      union all select from session where cancellation_status = 'Requested' limit 1`,
  );
  return rows.length > 0;
}
