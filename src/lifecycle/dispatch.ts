import { and, eq, type SQL, sql } from "drizzle-orm";
import { type Orm, type Queryable, rowsOf, type Transaction } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { runsPromptsWhere } from "../db/heartbeats.ts";
import { outbox } from "../db/service-tables.ts";
import { prompt } from "../db/tables.ts";
import { CHANNELS, QUEUES } from "../queue/names.ts";
import { enqueue, notifyOutbox } from "../queue/outbox.ts";
import { repairTurns, type WaitingTurn } from "./repair-turns.ts";

/**
 * Only the oldest unfinished prompt of a session may run, and only while no later one runs: a revived prompt returns to
 * its place. For queries with the prompt as `p`.
 */
export const isNextInSession = sql`not exists (
  select 1 from prompt other where other.session_id = p.session_id and other.status in ('Queued', 'Running')
    and (other.seq < p.seq or other.seq > p.seq and other.status = 'Running'))`;

/**
 * Tells the machine that alone has the session's work, or else the one where it is warm, that the prompt may start, if there
 * are other machines that could start it: a subquery without rows otherwise. A run that was left to the next runner of its
 * machine can go on there only.
 */
const offerToItsHost = (
  promptId: string,
) => sql`select pg_notify(${CHANNELS.warmHost}, its.host || ' ' || p.session_id)
  from prompt p join session s on s.id = p.session_id left join unpushed_work w on w.session_id = s.id
  cross join lateral (select coalesce(p.process ->> 'host', w.host, s.warm_host) as host) its
  where p.id = ${promptId}::uuid and (p.status = 'Running' or p.status = 'Queued' and ${isNextInSession})
    and its.host is not null and ${runsPromptsWhere(sql`h.host <> its.host`)}`;

/** For queries with `unpushed_work` as `w`: whether it is on another machine alone, which is alive. */
const isOfAnother = (host: string) => sql`w.host <> ${host} and ${runsPromptsWhere(sql`h.host = w.host`)}`;

/** For queries with the session as `s`: whether this machine may run its prompts. */
export const mayRunOn = (host: string) =>
  sql`not exists (select 1 from unpushed_work w where w.session_id = s.id and ${isOfAnother(host)})`;

/**
 * Offers what only other machines may go on with to them, because its jobs may have come to this one: prompts whose work they
 * alone have, and runs that wait with their sandboxes and are due.
 * @param mayStart a condition on the prompt `p`, unless it has begun.
 */
export async function offerToOthers(orm: Queryable, host: string, mayStart: SQL): Promise<void> {
  await orm.execute(sql`select pg_notify(${CHANNELS.warmHost}, others.host || ' ' || others.session_id) from (
    select w.host, p.session_id
    from unpushed_work w join session s on s.id = w.session_id join prompt p on p.session_id = s.id
    where ${isOfAnother(host)} and s.deleted_at is null and p.status = 'Queued'
      and (p.not_before is null or p.not_before <= ${storedNow}) and ${isNextInSession} and ${mayStart}
    union all
    select p.process ->> 'host', p.session_id from prompt p
    where p.status = 'Running' and p.waiting_for is not null and p.not_before <= ${storedNow}
      and p.process ->> 'host' <> ${host}) others`);
}

/** The same, for a prompt that was dispatched before: its delay is over, or the notification was lost. */
export async function offerAgain(tx: Transaction, promptId: string): Promise<void> {
  await tx.execute(offerToItsHost(promptId));
}

/**
 * Gives up the preference of a machine without a free slot: others need not wait for it, and learn so at once. Without a
 * lock of the prompt, because of the lock order; if it starts meanwhile, its session is merely not warm.
 */
export async function declineOffer(orm: Orm, offer: { host: string; sessionId: string }): Promise<void> {
  await orm.execute(sql`with declined as (
    update session s set warm_host = null where s.id = ${offer.sessionId}::uuid and s.warm_host = ${offer.host}
      and exists (select 1 from prompt p where p.session_id = s.id and p.status = 'Queued') returning s.id)
    select pg_notify(${CHANNELS.outbox}, '') from declined`);
}

/** Writes a job for a prompt to the outbox, in the caller's transaction. @param delayMs default 0. */
export async function dispatch(tx: Transaction, promptId: string, delayMs = 0): Promise<void> {
  await tx.update(prompt).set({ dispatchedAt: sql`now()` }).where(eq(prompt.id, promptId));
  await enqueueRun(tx, promptId, delayMs);
}

/** The same for a prompt that this transaction has inserted: its `dispatched_at` is now by default. */
export async function enqueueRun(tx: Transaction, promptId: string, delayMs = 0): Promise<void> {
  const alsoNotify = sql`(${offerToItsHost(promptId)})`;
  const payload = { prompt_id: promptId };
  await enqueue(tx, { topic: QUEUES.promptRun, key: promptId, payload, delayMs, alsoNotify });
}

/** Gives a prompt that still waits another job. It has waited since its dispatch: nobody is to wait for its machine anew. */
export async function redispatch(orm: Orm, promptId: string): Promise<void> {
  await orm.transaction(async (tx) => {
    const [waiting] = await tx
      .select({ id: prompt.id })
      .from(prompt)
      .where(and(eq(prompt.id, promptId), eq(prompt.status, "Queued")))
      .for("no key update");
    if (waiting) await enqueueRun(tx, waiting.id);
  });
}

/**
 * Dispatches the session's next waiting prompt, whose own job may have been consumed while another prompt was ahead of it.
 * @returns its id; undefined if none waits.
 */
export async function dispatchNext(tx: Transaction, sessionId: string): Promise<string | undefined> {
  const [next] = await tx
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(eq(prompt.sessionId, sessionId), eq(prompt.status, "Queued")))
    .orderBy(prompt.seq)
    .limit(1);
  if (next) await dispatch(tx, next.id);
  return next?.id;
}

/** Wakes the ip-return-poller once the transaction commits. */
export async function notifySandboxIdle(tx: Transaction): Promise<void> {
  await tx.execute(sql`select pg_notify(${CHANNELS.sandboxDone}, '')`);
}

/** Jobs for prompts that were dispatched before: at most one each, in a row with the prompt's own id. */
export async function enqueueRunsAgain(tx: Transaction, promptIds: readonly string[]): Promise<void> {
  await tx
    .insert(outbox)
    .values(promptIds.map((id) => ({ id, topic: QUEUES.promptRun, key: id, payload: { prompt_id: id } })))
    .onConflictDoUpdate({
      target: outbox.id,
      set: { publishedAt: null, attempts: 0, nextAttemptAt: sql`now()`, updatedAt: sql`now()` },
    });
  await notifyOutbox(tx);
}

const hasNoJob = sql`not exists (select 1 from outbox o where o.key = p.id::text and o.published_at is null)`;

/**
 * The safety net: dispatches again the prompts that could run but have no job, because the queue lost it or the runner
 * died. An index has the later of two times, so that those that wait for a later one are not read.
 * @param graceMs how long a waiting prompt's job may take before it counts as lost. @returns how many.
 */
export async function redispatchLost(orm: Orm, graceMs: number): Promise<number> {
  const dispatched = await orm.transaction(async (tx) => {
    const before = sql`now() - ${graceMs}::int * interval '1 millisecond'`;
    const lost = await rowsOf<WaitingTurn & { id: string }>(
      tx,
      sql`update prompt set dispatched_at = now() where id = any(array(
        select id from (
          select p.id from prompt p join session s on s.id = p.session_id
          where p.status = 'Queued' and greatest(p.dispatched_at, p.not_before) < ${before}
            and greatest(p.created_at, p.not_before) <= now() and s.deleted_at is null and ${isNextInSession}
            and ${hasNoJob}
          order by greatest(p.dispatched_at, p.not_before) limit 100 for update of p skip locked) waiting
        union all select id from (
          select p.id from prompt p
          where p.status = 'Running' and p.lease_expires_at < now()
            and p.dispatched_at < now() - interval '5 seconds' and ${hasNoJob}
          order by p.dispatched_at limit 100 for update of p skip locked) abandoned))
      returning id, user_id, coalesce(agent, '') as agent`,
    );
    if (lost.length === 0) return lost;
    await enqueueRunsAgain(
      tx,
      lost.map(({ id }) => id),
    );
    return lost;
  });
  // Their jobs would be in vain if claims passed their users by.
  if (dispatched.length > 0) await repairTurns(orm, dispatched);
  return dispatched.length;
}

/** Expires all leases, at the start of the only process on an embedded database: their runners are dead. */
export async function expireLeases(orm: Orm): Promise<void> {
  await orm
    .update(prompt)
    .set({ leaseExpiresAt: sql`now() - interval '1 second'`, dispatchedAt: sql`'epoch'` })
    .where(eq(prompt.status, "Running"));
}
