import { sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { deleteBatch, olderThan } from "../db/purge.ts";
import { modelCall, modelTurn, spend } from "../db/spend-tables.ts";

const DAY_S = 86_400;

/** Purges a batch of calls that began more than so many days ago, and are not under way. @returns how many. */
export const purgeModelCalls = (orm: Orm, days: number): Promise<number> =>
  deleteBatch(
    orm,
    modelCall,
    sql`${olderThan(modelCall.startedAt, days * DAY_S)} and ${modelCall.status} <> 'open'`,
  );

/** Purges a batch of those who do not wait for a model any more. */
export const purgeModelTurns = (orm: Orm): Promise<number> =>
  deleteBatch(orm, modelTurn, olderThan(modelTurn.until, 60));

/** Purges a batch of what was spent in days and months that are over, and of prompts and sessions that are gone. */
export const purgeSpend = (orm: Orm): Promise<number> =>
  deleteBatch(
    orm,
    spend,
    sql`${spend.reserved} = 0 and case ${spend.scope}
      when 'run' then not exists (select from prompt p where p.id = ${spend.subject}::uuid)
      when 'session' then not exists (select from session s where s.id = ${spend.subject}::uuid)
      else ${spend.period} < current_date - 62 end`,
  );
