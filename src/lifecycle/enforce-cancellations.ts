import { eq, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { CHANNELS } from "../queue/names.ts";

/** Prompts that run although their users wanted them to end; runners are told again. @returns how many. */
export async function remindOfCancellations(orm: Orm): Promise<number> {
  const rows = await rowsOf(
    orm,
    sql`select pg_notify(${CHANNELS.cancel}, id::text) from prompt
      where status = 'Running' and cancel_requested_at < now() - interval '2 seconds'`,
  );
  return rows.length;
}

/**
 * Closes what nobody closes: prompts whose runner does not end them (it is fenced off; the sandbox's return ends what
 * still runs in there), and sessions that wait for the end of a prompt that is gone.
 * @param overdueMs how long a runner has for the end. @returns how many prompts and sessions were closed.
 */
export async function closeCancelled(orm: Orm, overdueMs: number): Promise<number> {
  return orm.transaction(async (tx) => {
    const overdue = await rowsOf<{ session_id: string }>(
      tx,
      sql`update prompt set status = 'Cancelled', lease_epoch = lease_epoch + 1, lease_owner = null,
          lease_expires_at = null, process = null, finished_at = now(), updated_at = now(),
          error = 'It was cancelled, and its runner did not answer.', error_kind = 'interrupted'
        where status = 'Running' and cancel_requested_at < now() - ${overdueMs}::int * interval '1 millisecond'
        returning session_id`,
    );
    for (const { session_id } of overdue)
      await tx
        .update(session)
        .set({
          inboxStatus: sql`case when exists (select 1 from ${prompt} p where p.session_id = ${session.id}
            and p.status = 'Queued') then 'Pending' else 'Cancelled' end`,
          updatedAt: sql`now()`,
        })
        .where(eq(session.id, session_id));
    const waiting = await rowsOf(
      tx,
      sql`update session s set cancellation_status = 'Cancelled', cancelled_at = now(), updated_at = now()
        where cancellation_status = 'Requested' and updated_at < now() - interval '1 second'
          and not exists (select 1 from prompt p where p.session_id = s.id and p.status = 'Running')
        returning s.id`,
    );
    if (overdue.length > 0) await tx.execute(sql`select pg_notify(${CHANNELS.sandboxDone}, '')`);
    return overdue.length + waiting.length;
  });
}
