import { eq, sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { CHANNELS } from "../queue/names.ts";

/**
 * Cancels what a session has to do: prompts that wait never start; one that runs is ended by its runner, which is told.
 * Works in every state, and twice. Whose session it is, the caller has checked.
 * @param request.by the user who asks.
 */
export async function requestCancel(
  tx: Transaction,
  request: { sessionId: string; by: string },
): Promise<void> {
  const { sessionId, by } = request;
  // Prompts before their session, as runs lock them: what runs first, though a revived prompt may stand before it.
  const touched = await rowsOf<{ id: string; status: string }>(
    tx,
    sql`update prompt set cancel_requested_at = coalesce(cancel_requested_at, now()), updated_at = now(),
        status = case when status = 'Queued' then 'Cancelled' else status end,
        finished_at = case when status = 'Queued' then now() else finished_at end
      where id in (select id from prompt where session_id = ${sessionId}::uuid
        and status in ('Queued', 'Running') order by status = 'Running' desc, seq for update)
      returning id, status`,
  );
  const running = touched.filter(({ status }) => status === "Running");
  const unfinished = sql`${session.inboxStatus} in ('Pending', 'Processing')`;
  await tx
    .update(session)
    .set(
      running.length > 0
        ? { cancellationStatus: "Requested", cancelledAt: null, cancelledBy: by, updatedAt: sql`now()` }
        : {
            cancellationStatus: "Cancelled",
            cancelledAt: sql`coalesce(${session.cancelledAt}, now())`,
            cancelledBy: sql`coalesce(${session.cancelledBy}, ${by})`,
            inboxStatus: sql`case when ${unfinished} then 'Cancelled' else ${session.inboxStatus} end`,
            updatedAt: sql`now()`,
          },
    )
    .where(eq(session.id, sessionId));
  for (const { id } of running) await tx.execute(sql`select pg_notify(${CHANNELS.cancel}, ${id})`);
  if (running.length === 0) await tx.execute(sql`select pg_notify(${CHANNELS.sandboxDone}, '')`);
}
