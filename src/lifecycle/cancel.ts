import { eq, sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { CHANNELS } from "../queue/names.ts";
import { notifySandboxIdle } from "./dispatch.ts";
import { cancelQuestions } from "./questions.ts";
import { cancelSteers } from "./steers.ts";
import { sessionAfter } from "./transitions.ts";

/** A prompt that waits with its sandbox is Running, but nobody is there to end it. */
const hasRunner = sql`status = 'Running' and (waiting_for is null or waiting_for = 'permission')`;

/**
 * Cancels a session's unfinished prompts: waiting ones never start; a running one is ended by its runner, which is
 * notified. Idempotent, and valid in every state. The caller has checked the owner and holds the session's lock.
 * @param request.by the user who cancels.
 */
export async function requestCancel(
  tx: Transaction,
  request: { sessionId: string; by: string },
): Promise<void> {
  const { sessionId, by } = request;
  // The lock order of locks.ts: the running prompt first, although a revived one may precede it.
  const touched = await rowsOf<{ id: string; status: string }>(
    tx,
    sql`update prompt set cancel_requested_at = coalesce(cancel_requested_at, now()), updated_at = now(),
        status = case when ${hasRunner} then status else 'Cancelled' end,
        finished_at = case when ${hasRunner} then finished_at else now() end,
        lease_owner = case when ${hasRunner} then lease_owner end,
        lease_expires_at = case when ${hasRunner} then lease_expires_at end,
        process = case when ${hasRunner} then process end, waiting_for = null
      where id in (select id from prompt where session_id = ${sessionId}::uuid
        and status in ('Queued', 'Running') order by status = 'Running' desc, seq for update)
      returning id, status`,
  );
  const ids = touched.map(({ id }) => id);
  await cancelQuestions(tx, ids);
  await cancelSteers(tx, ids);
  const running = touched.filter(({ status }) => status === "Running");
  await tx
    .update(session)
    .set(running.length > 0 ? sessionAfter.cancelRequested(by) : sessionAfter.cancelled(by))
    .where(eq(session.id, sessionId));
  for (const { id } of running) await tx.execute(sql`select pg_notify(${CHANNELS.cancel}, ${id})`);
  if (running.length === 0) await notifySandboxIdle(tx);
}
