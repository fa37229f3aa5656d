import { sql } from "drizzle-orm";
import type { Orm } from "./client.ts";
import { deleteBatch } from "./purge.ts";
import { requestLimit } from "./service-tables.ts";

/** Purges a batch of counts whose window ended an hour ago; the hour allows for clock skew. @returns how many. */
export const purgeOldRequestCounts = (orm: Orm): Promise<number> =>
  deleteBatch(
    orm,
    requestLimit,
    sql`${requestLimit.expire} < (extract(epoch from now()) * 1000)::bigint - 3600000`,
  );
