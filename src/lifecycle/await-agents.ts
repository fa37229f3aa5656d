import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { reportedAgents } from "../db/worker-agents.ts";
import { enqueueRunsAgain, isNextInSession } from "./dispatch.ts";

/** How many prompts one statement changes. */
const BATCH = 100;

/**
 * Has the prompts wait whose agent no live worker can run any more: out of the way of claims, with a reason that their users
 * read, until a worker can (see `endAgentWaits`). Only those of agents that somebody had: others are refused when they are made.
 * Rows that others hold are left for the next time, because of the lock order.
 * @returns how many.
 */
export async function beginAgentWaits(orm: Orm): Promise<number> {
  const reason = sql`'Waiting: no worker has the agent ' || p.agent || ' now'
    || coalesce('. ' || (select w.report ->> 'reason' from worker_agent w
      where w.agent = p.agent and w.report ->> 'reason' is not null order by w.reported_at desc limit 1), '.')
    || ' It starts as soon as one has it.'`;
  const rows = await rowsOf(
    orm,
    sql`with due as materialized (
      select p.id, p.session_id, ${reason} as reason from prompt p join session s on s.id = p.session_id
      where p.agent = any(array(${reportedAgents("gone")})) and p.status = 'Queued' and p.not_before is null
        and s.deleted_at is null and ${isNextInSession}
      order by p.agent, p.id limit ${BATCH} for no key update of s, p skip locked),
    waits as (update prompt p set waiting_for = 'agent', not_before = now() + interval '100 years', error = due.reason,
      error_kind = 'transient', updated_at = now() from due where p.id = due.id)
    update session s set waiting = jsonb_build_object('for', 'agent', 'reason', due.reason, 'since', now(), 'until', null),
      updated_at = now() from due where s.id = due.session_id returning s.id`,
  );
  return rows.length;
}

/** Ends the waits for agents that a live worker can run now, and wakes the runners. @returns how many. */
export async function endAgentWaits(orm: Orm): Promise<number> {
  const ended = await orm.transaction(async (tx) => {
    const rows = await rowsOf<{ id: string }>(
      tx,
      sql`with due as materialized (
        select p.id, p.session_id from prompt p join session s on s.id = p.session_id
        where p.waiting_for = 'agent' and p.status = 'Queued' and p.agent = any(array(${reportedAgents("live")}))
        order by p.agent, p.id limit ${BATCH} for no key update of s, p skip locked),
      goes as (update session s set waiting = null, updated_at = now() from due where s.id = due.session_id)
      update prompt p set waiting_for = null, not_before = null, error = null, error_kind = null, dispatched_at = now(),
        updated_at = now() from due where p.id = due.id returning p.id`,
    );
    const ids = rows.map(({ id }) => id);
    if (ids.length > 0) await enqueueRunsAgain(tx, ids);
    return ids.length;
  });
  return ended < BATCH ? ended : ended + (await endAgentWaits(orm));
}
