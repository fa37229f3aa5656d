import { eq, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { CHANNELS } from "../queue/names.ts";
import { dispatchNext, notifySandboxIdle } from "./dispatch.ts";
import { lockSessionRow } from "./locks.ts";
import { sessionAfter } from "./transitions.ts";

/** Notifies again the runners of prompts that run although their users have cancelled them. @returns how many. */
export async function remindOfCancellations(orm: Orm): Promise<number> {
  const rows = await rowsOf(
    orm,
    sql`select pg_notify(${CHANNELS.cancel}, id::text) from prompt
      where status = 'Running' and cancel_requested_at < now() - interval '2 seconds'`,
  );
  return rows.length;
}

/**
 * Closes what no runner closes: cancelled prompts whose runner does not end them (it is fenced off; the return of the
 * sandbox ends what still runs in there), and sessions that wait for the end of a prompt that is gone.
 *
 * A runner that delivers the work is left alone while its lease lives: git may take minutes, has limits of its own, and
 * a sandbox that were returned meanwhile would take the work with it. Once the lease is lost, the takeover has `overdueMs`
 * for the same.
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
          and (process ->> 'delivering' is null
            or lease_expires_at < now() - ${overdueMs}::int * interval '1 millisecond')
        returning session_id`,
    );
    for (const { session_id } of overdue) {
      await lockSessionRow(tx, session_id);
      // A follow-up that came meanwhile: its own job has come and gone while this prompt stood before it.
      const next = await dispatchNext(tx, session_id);
      await tx
        .update(session)
        .set(sessionAfter.runClosed({ waiting: next !== undefined }))
        .where(eq(session.id, session_id));
    }
    const waiting = await rowsOf(
      tx,
      sql`update session s set cancellation_status = 'Cancelled', cancelled_at = now(), updated_at = now()
        where cancellation_status = 'Requested' and updated_at < now() - interval '1 second'
          and not exists (select 1 from prompt p where p.session_id = s.id and p.status = 'Running')
        returning s.id`,
    );
    if (overdue.length > 0) await notifySandboxIdle(tx);
    return overdue.length + waiting.length;
  });
}
