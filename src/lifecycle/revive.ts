import { eq, inArray, sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import { queuedNow } from "../db/columns.ts";
import { prompt, session } from "../db/tables.ts";
import { dispatch } from "./dispatch.ts";
import { lockSession } from "./locks.ts";
import { sessionAfter } from "./transitions.ts";

/**
 * Makes failed prompts wait again, each at its place in its session, with all attempts left. The quota is not checked:
 * it admitted them before. The offset of their output stays, for the next run to say that it starts over.
 * @returns those that were revived: failed prompts of sessions that are not deleted.
 */
export async function revivePrompts(tx: Transaction, ids: string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const sessions = await tx
    .selectDistinct({ id: prompt.sessionId })
    .from(prompt)
    .where(inArray(prompt.id, ids))
    .orderBy(prompt.sessionId);
  for (const { id } of sessions) await lockSession(tx, id);
  const revived = await rowsOf<{ id: string; session_id: string }>(
    tx,
    sql`update prompt p set status = 'Queued', attempt = 0, uncounted_claims = lease_epoch, error = null, error_kind = null, failures = '[]', outage = null,
        not_before = null, finished_at = null, usage = null, process = null,
        cancel_requested_at = null, phases = ${queuedNow}, updated_at = now()
      from session s where s.id = p.session_id and s.deleted_at is null and p.status = 'Failed'
        and p.id in ${ids}
      returning p.id, p.session_id`,
  );
  for (const id of [...new Set(revived.map(({ session_id }) => session_id))].sort())
    await tx.update(session).set(sessionAfter.promptQueued).where(eq(session.id, id));
  for (const { id } of revived) await dispatch(tx, id);
  return revived.map(({ id }) => id);
}
