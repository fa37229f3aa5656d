import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { followQuestions, notifyMail } from "./questions.ts";

/** Prompts that one call looks after. */
const BATCH = 100;

/**
 * Denies what nobody has answered in time, by the database's clock, and closes what was asked by agents that do not run any
 * more. Their runners are notified; if one is away, its successor delivers the answer.
 * @param minutes that a question may be open, for the reason. @returns how many questions expired.
 */
export async function expireQuestions(orm: Orm, minutes: number): Promise<number> {
  const overdue = await rowsOf<{ id: string }>(
    orm,
    sql`select distinct q.prompt_id as id from permission_request q join prompt p on p.id = q.prompt_id
      where q.status = 'pending' and (q.expires_at <= now() or p.status <> 'Running') limit ${BATCH}::int`,
  );
  let expired = 0;
  for (const { id } of overdue)
    expired += await orm.transaction(async (tx) => {
      // The prompt first, as in every change of its questions.
      const [row] = await rowsOf<{ status: string }>(
        tx,
        sql`select status from prompt where id = ${id}::uuid for no key update`,
      );
      const runs = row?.status === "Running";
      const late = await rowsOf(
        tx,
        sql`update permission_request set answered_at = now(), updated_at = now(),
            status = case when ${runs}::boolean then 'expired' else 'cancelled' end,
            reason = case when ${runs}::boolean then ${expiredReason(minutes)}::text end,
            delivered_at = case when ${runs}::boolean then null else now() end
          where prompt_id = ${id}::uuid and status = 'pending' and (expires_at <= now() or not ${runs}::boolean)
          returning id`,
      );
      if (!runs || late.length === 0) return 0;
      await followQuestions(tx, id);
      await notifyMail(tx, id);
      return late.length;
    });
  return expired;
}

const expiredReason = (minutes: number) =>
  `Nobody answered within ${minutes === 1 ? "1 minute" : `${minutes} minutes`} (PERMISSION_TIMEOUT_MINUTES).`;
