import { and, eq, inArray, sql } from "drizzle-orm";
import { type Orm, rowsOf, type Transaction } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { outbox, prompt, session } from "../db/tables.ts";
import { QUEUES } from "../queue/names.ts";
import { notifyOutbox } from "../queue/outbox.ts";
import type { ClaimedRun } from "./run.ts";

/** Claims take turns in the whole cluster, so that limits and fairness hold; any constant: "claim" in ASCII. */
const CLAIM_LOCK = 0x636c61696d;
/** The owner of a run that its runner has left for the next one on the same machine. */
export const DETACHED = "detached";

/** How much longer than the machine itself others wait with an agent of that machine, milliseconds. */
const ELSEWHERE_GRACE_MS = 3_000;
const DELIVERING_GRACE_MS = 60_000;

export interface Claimant {
  owner: string;
  /** The machine: an agent that still runs there is adopted. */
  host: string;
  /** How long the lease lasts without a heartbeat, milliseconds on the database's clock. */
  ttlMs: number;
  /** How many prompts may run at a time, in the whole cluster and of one user. */
  maxRunning: number;
  maxRunningPerUser: number;
}

/** Only the oldest unfinished prompt of a session may run, and not beside a later one: dead ones return to their place. */
const firstInLine = sql`not exists (
  select 1 from prompt other where other.session_id = p.session_id and other.status in ('Queued', 'Running')
    and (other.seq < p.seq or other.seq > p.seq and other.status = 'Running'))`;

/**
 * Runs whose runner is dead, or has left them to the next one on its machine. Only that machine can go on with the agent,
 * so it has a moment more than others; and longer while work is on its way, which others could only call interrupted.
 */
const abandoned = (host: string) => sql`
  select p.id from prompt p
  where p.status = 'Running' and case
    when p.process is null or p.process ->> 'host' = ${host}
      then p.lease_expires_at < now() or p.lease_owner = ${DETACHED}
    when (p.process ->> 'delivering')::boolean
      then p.lease_expires_at < now() - ${DELIVERING_GRACE_MS}::int * interval '1 millisecond'
    else p.lease_expires_at < now() - ${ELSEWHERE_GRACE_MS}::int * interval '1 millisecond' end
  order by p.lease_expires_at limit 1 for update skip locked`;

/**
 * The waiting prompt whose turn it is: of the user with the fewest running, then of the one who has waited longest for
 * a start; among that user's by priority, then by age.
 */
const waiting = ({ maxRunning, maxRunningPerUser }: Claimant) => sql`
  select next.id from (
    select u.user_id, running.count, latest.started_at
    from (select distinct user_id from prompt where status = 'Queued') u
    cross join lateral (
      select count(*) from prompt r where r.user_id = u.user_id and r.status = 'Running') running
    left join lateral (
      select l.started_at from prompt l where l.user_id = u.user_id and l.started_at is not null
      order by l.started_at desc limit 1) latest on true
    where running.count < ${maxRunningPerUser}::int
      and (select count(*) from prompt where status = 'Running') < ${maxRunning}::int
    order by running.count, latest.started_at nulls first
  ) turn
  cross join lateral (
    select p.id from prompt p join session s on s.id = p.session_id
    where p.user_id = turn.user_id and p.status = 'Queued' and s.deleted_at is null
      and (p.not_before is null or p.not_before <= ${storedNow}) and ${firstInLine}
    order by p.priority desc, p.created_at, p.seq limit 1
  ) next limit 1`;

/**
 * Takes the lease of the next prompt that may run.
 * @returns undefined where there is nothing to do: nothing waits, or limits are reached.
 */
export async function claimNext(orm: Orm, claimant: Claimant): Promise<ClaimedRun | undefined> {
  return orm.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${CLAIM_LOCK}::bigint)`);
    const [old] = await rowsOf<{ id: string }>(tx, abandoned(claimant.host));
    const [found] = old ? [old] : await rowsOf<{ id: string }>(tx, waiting(claimant));
    return found && (await lease(tx, found.id, claimant));
  });
}

/** A runner that died before it had started an agent has made no attempt: the prompt cannot be to blame for that. */
async function lease(
  tx: Transaction,
  id: string,
  { owner, ttlMs }: Claimant,
): Promise<ClaimedRun | undefined> {
  const [row] = await rowsOf<
    Omit<ClaimedRun, "epoch" | "outputOffset" | "waitedMs"> &
      Record<"epoch" | "outputOffset" | "waitedMs", string>
  >(
    tx,
    sql`with claimed as (
      update prompt set status = 'Running', lease_owner = ${owner}, lease_epoch = lease_epoch + 1,
        lease_expires_at = now() + ${ttlMs}::int * interval '1 millisecond', not_before = null,
        attempt = attempt + case when status = 'Running' and process is null then 0 else 1 end, started_at = coalesce(started_at, now()), updated_at = now()
      where id = ${id}::uuid returning *
    )
    update session s set inbox_status = 'Processing', updated_at = now()
    from claimed c where s.id = c.session_id
    returning c.id as "promptId", s.id as "sessionId", s.user_id as "userId", c.lease_epoch as "epoch", c.attempt,
      c.data, s.repo, s.target_branch as "targetBranch", s.branch, s.sbx_config as "sbxConfig", c.process,
      c.output_offset as "outputOffset", c.cancel_requested_at is not null as "cancelRequested", c.failures,
      extract(epoch from now() - greatest(c.dispatched_at, c.created_at)) * 1000 as "waitedMs"`,
  );
  const { epoch, outputOffset, waitedMs } = row ?? {};
  const numbers = {
    epoch: Number(epoch),
    outputOffset: Number(outputOffset),
    waitedMs: Math.max(0, Number(waitedMs)),
  };
  return row && { ...row, ...numbers };
}

/**
 * Renews leases of a runner, all at once; those that it has given up, although the database does not know yet, must run
 * out. @returns those it still holds, by prompt.
 */
export async function renewLeases(
  orm: Orm,
  owner: string,
  promptIds: readonly string[],
  ttlMs: number,
): Promise<Map<string, { epoch: number; cancelRequested: boolean }>> {
  const held = await orm
    .update(prompt)
    .set({ leaseExpiresAt: sql`now() + ${ttlMs}::int * interval '1 millisecond'` })
    .where(
      and(inArray(prompt.id, [...promptIds]), eq(prompt.leaseOwner, owner), eq(prompt.status, "Running")),
    )
    .returning({
      id: prompt.id,
      epoch: prompt.leaseEpoch,
      cancelRequested: sql<boolean>`${prompt.cancelRequestedAt} is not null`,
    });
  return new Map(held.map(({ id, ...lease }) => [id, lease]));
}

/** For the embedded database, which has one process: whoever held a lease before it started is dead. */
export async function expireLeases(orm: Orm): Promise<void> {
  await orm
    .update(prompt)
    .set({ leaseExpiresAt: sql`now() - interval '1 second'`, dispatchedAt: sql`'epoch'` })
    .where(eq(prompt.status, "Running"));
}

/**
 * The safety net: prompts that could run, but that no job carries: the queue lost it, or its runner died.
 * @param graceMs how long a waiting prompt's job may take before it counts as lost. @returns how many were sent again.
 */
export async function rescueForgotten(orm: Orm, graceMs: number): Promise<number> {
  return orm.transaction(async (tx) => {
    const forgotten = await rowsOf<{ id: string }>(
      tx,
      sql`update prompt set dispatched_at = now() where id in (
        select p.id from prompt p join session s on s.id = p.session_id
        where (p.status = 'Queued' and s.deleted_at is null and ${firstInLine}
              and greatest(p.dispatched_at, p.not_before) < now() - ${graceMs}::int * interval '1 millisecond'
            or p.status = 'Running' and p.lease_expires_at < now() and p.dispatched_at < now() - interval '5 seconds')
          and not exists (select 1 from outbox o where o.key = p.id::text and o.published_at is null)
        order by p.dispatched_at limit 100 for update of p skip locked)
      returning id`,
    );
    if (forgotten.length === 0) return 0;
    // The row has the prompt's own id, so a prompt that waits long in a long queue gets one more job, not one a tick.
    await tx
      .insert(outbox)
      .values(
        forgotten.map(({ id }) => ({ id, topic: QUEUES.promptRun, key: id, payload: { prompt_id: id } })),
      )
      .onConflictDoUpdate({
        target: outbox.id,
        set: { publishedAt: null, attempts: 0, nextAttemptAt: sql`now()`, updatedAt: sql`now()` },
      });
    await notifyOutbox(tx);
    return forgotten.length;
  });
}

/** What the other prompts of the session cost, in US dollars. */
export async function costOfOthers(
  orm: Orm,
  run: Pick<ClaimedRun, "promptId" | "sessionId">,
): Promise<number> {
  const [row] = await orm
    .select({ cost: sql<string | null>`sum((${prompt.usage} ->> 'cost_usd')::numeric)` })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(eq(session.id, run.sessionId), sql`${prompt.id} <> ${run.promptId}::uuid`));
  return Number(row?.cost ?? 0);
}
