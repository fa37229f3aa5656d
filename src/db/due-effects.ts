import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";

/** When each effect that is due has become so, and each reading of a pull request: partial indexes have nothing else. */
const DUE = sql`(select due_at as at from effect where due_at <= now()
  union all select look_at from pull_request where look_at <= now()) due`;

/** For how long the first of them has been due, seconds; null: none is. */
export const effectsLag = sql`(select extract(epoch from now() - min(at)) from ${DUE})`;

/** How many milliseconds until the next effect or reading is due; null: none will be. */
export async function nextEffectMs(orm: Orm): Promise<number | null> {
  const [row] = await rowsOf<{ ms: string | number | null }>(
    orm,
    sql`select extract(epoch from least((select min(due_at) from effect where due_at is not null),
      (select min(look_at) from pull_request where look_at is not null)) - now()) * 1000 as ms`,
  );
  return row?.ms == null ? null : Number(row.ms);
}

/** What is due, and for how long the first of it has been, seconds. */
export async function readDueEffects(orm: Orm): Promise<{ count: number; seconds: number }> {
  const [row] = await rowsOf<{ count: string | number; seconds: string | number | null }>(
    orm,
    sql`select (select count(*) from ${DUE}) as count, ${effectsLag} as seconds`,
  );
  return { count: Number(row?.count ?? 0), seconds: Number(row?.seconds ?? 0) };
}
