import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";

/** The database's clock, which created_at uses too, in milliseconds since 1970. */
export async function databaseTime(orm: Orm): Promise<number> {
  const [row] = await rowsOf<{ now: string }>(
    orm,
    sql`select floor(extract(epoch from now()) * 1000) as now`,
  );
  return Number(row?.now);
}
