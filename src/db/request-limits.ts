import { sql } from "drizzle-orm";
import type { Orm } from "./client.ts";
import { deleteSome } from "./purge.ts";
import { requestLimit } from "./tables.ts";

/** Purges a batch of the counts of windows that ended an hour ago: servers' clocks differ. @returns how many. */
export const purgeOldLimits = (orm: Orm): Promise<number> =>
  deleteSome(orm, requestLimit, sql`${requestLimit.expire} < extract(epoch from now()) * 1000 - 3600000`);
