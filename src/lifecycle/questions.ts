import { sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import type { Waiting } from "../db/json-columns.ts";
import { CHANNELS } from "../queue/names.ts";
import { notifyOutbox } from "../queue/outbox.ts";

/** What its user reads while an agent waits for an answer. What it asks is its own word, and stands with the question. */
const REASON = "The agent asks whether it may use a tool: answer it; without an answer in time it is denied.";

/**
 * Makes a running prompt wait for its user while a question of its agent is open, and only then. Its runner stays; it takes
 * none of the slots of MAX_RUNNING meanwhile. Call it, with the prompt's lock, after each change of its questions.
 */
export async function followQuestions(tx: Transaction, promptId: string): Promise<void> {
  const [changed] = await rowsOf<{ session_id: string; open: number; since: string; until: string }>(
    tx,
    sql`with asked as (
      select count(*)::int as open, min(asked_at) as since, min(expires_at) as until
      from permission_request where prompt_id = ${promptId}::uuid and status = 'pending')
    update prompt p set waiting_for = case when a.open > 0 and p.cancel_requested_at is null then 'permission' end,
      updated_at = now()
    from asked a where p.id = ${promptId}::uuid and p.status = 'Running'
      and (p.waiting_for is null and a.open > 0 or p.waiting_for = 'permission')
    returning p.session_id, case when p.waiting_for is null then 0 else a.open end as open,
      (extract(epoch from a.since) * 1000)::bigint::text as since,
      (extract(epoch from a.until) * 1000)::bigint::text as until`,
  );
  if (!changed) return;
  const { session_id, open } = changed;
  const time = (ms: string) => new Date(Number(ms)).toISOString();
  const waiting: Waiting | null =
    open === 0
      ? null
      : { for: "permission", reason: REASON, since: time(changed.since), until: time(changed.until), open };
  await tx.execute(
    sql`update session set waiting = ${waiting && JSON.stringify(waiting)}::jsonb, updated_at = now()
      where id = ${session_id}::uuid`,
  );
  // Whoever waited for the limit may start.
  if (open > 0) await notifyOutbox(tx);
}

/** Tells the runner of a prompt that there is something for its agent. */
export async function notifyMail(tx: Transaction, promptId: string): Promise<void> {
  await tx.execute(sql`select pg_notify(${CHANNELS.mail}, ${promptId})`);
}

/** Nobody is left to be answered: the agents that have asked are gone. */
export async function cancelQuestions(tx: Transaction, promptIds: readonly string[]): Promise<void> {
  if (promptIds.length === 0) return;
  await tx.execute(sql`update permission_request set status = 'cancelled', answered_at = now(), delivered_at = now(),
      updated_at = now()
    where status = 'pending' and prompt_id in (select value::uuid from jsonb_array_elements_text(${JSON.stringify(promptIds)}::jsonb))`);
}
