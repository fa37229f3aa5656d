import { sql } from "drizzle-orm";
import type { Orm, Queryable } from "../db/client.ts";
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

/** Purges a batch of what was spent in days and months that are over. */
export const purgePastSpend = (orm: Orm): Promise<number> =>
  deleteBatch(
    orm,
    spend,
    sql`${spend.scope} in ('user_day', 'user_month', 'deployment_day') and ${spend.reserved} = 0
      and ${spend.period} < current_date - 62`,
  );

/** Purges a batch of what a session and its prompts have spent, by which nothing is limited any more. The reports keep it. */
export const purgeSessionSpend = (orm: Orm, sessionId: string): Promise<number> =>
  deleteBatch(
    orm,
    spend,
    // One list, which the index is asked for: there is a row for each prompt that ever ran.
    sql`${spend.scope} in ('session', 'run') and ${spend.subject} = any(array(
      select ${sessionId} union all select p.id::text from prompt p where p.session_id = ${sessionId}::uuid))`,
  );

/** The same of a prompt that is deleted. */
export async function purgePromptSpend(orm: Queryable, promptId: string): Promise<void> {
  await orm.delete(spend).where(sql`${spend.scope} = 'run' and ${spend.subject} = ${promptId}`);
}
