import { eq, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { CHANNELS } from "../queue/names.ts";
import { dispatchNext, notifySandboxIdle } from "./dispatch.ts";
import { lockSessionRow } from "./locks.ts";
import { sessionAfter } from "./transitions.ts";

/** Notifies the runners of cancelled prompts that still run once more. @returns how many. */
export async function remindOfCancellations(orm: Orm): Promise<number> {
  const rows = await rowsOf(
    orm,
    sql`select pg_notify(${CHANNELS.cancel}, id::text) from prompt
      where status = 'Running' and cancel_requested_at < now() - interval '2 seconds'`,
  );
  return rows.length;
}

/**
 * Closes cancelled prompts that their runner does not end, and sessions that wait for the end of a prompt that no longer
 * runs. The runner is fenced off; returning the sandbox ends what still runs in it.
 *
 * A runner that delivers work is left alone while its lease is valid: git has time limits of its own and may take minutes,
 * and returning the sandbox meanwhile would lose the work. Once the lease has expired, a takeover has `overdueMs` to
 * deliver.
 * @param overdueMs how long a runner may take to end a prompt. @returns how many prompts and sessions were closed.
 */
export async function closeCancelled(orm: Orm, overdueMs: number): Promise<number> {
  return orm.transaction(async (tx) => {
    const overdue = await rowsOf<{ session_id: string }>(
      tx,
      sql`update prompt set status = 'Cancelled', lease_epoch = lease_epoch + 1, lease_owner = null,
          lease_expires_at = null, process = null, finished_at = now(), updated_at = now(),
          error = 'The prompt was cancelled, and its runner did not respond.', error_kind = 'interrupted'
        where status = 'Running' and cancel_requested_at < now() - ${overdueMs}::int * interval '1 millisecond'
          and (process ->> 'delivering' is null
            or lease_expires_at < now() - ${overdueMs}::int * interval '1 millisecond')
        returning session_id`,
    );
    for (const { session_id } of overdue) {
      await lockSessionRow(tx, session_id);
      // The job of a follow-up was consumed while this prompt was ahead of it.
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
