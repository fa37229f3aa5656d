import { and, eq, ne, sql } from "drizzle-orm";
import { type Orm, rowsOf, type Transaction } from "../db/client.ts";
import { outbox, prompt, session, type Turn } from "../db/tables.ts";
import { CHANNELS, QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";
import type { SandboxConfig } from "../sandboxes/sandbox.ts";

/** What a runner knows of the run that it has claimed. */
export interface ClaimedRun {
  promptId: string;
  sessionId: string;
  /** Fences every write of this run. */
  epoch: number;
  /** 1 for the first. */
  attempt: number;
  data: unknown;
  repo: string;
  targetBranch: string;
  branch: string;
  /** A sandbox that an earlier run of the session still holds. */
  sbxConfig: SandboxConfig | null;
}

export type Fence = Pick<ClaimedRun, "promptId" | "epoch">;

/** This run was superseded (or its prompt is gone): its write changed nothing, and it must stop. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
  constructor() {
    super("another runner has taken this prompt over");
  }
}

/** Only the oldest unfinished prompt of a session may run. */
const firstInLine = sql`not exists (
  select 1 from prompt earlier where earlier.session_id = p.session_id and earlier.seq < p.seq
    and earlier.status in ('Queued', 'Running'))`;

/**
 * Takes the lease of a prompt, if it waits or its holder's lease has run out, and it is first in line.
 * @param ttlMs how long the lease lasts without a heartbeat, on the database's clock.
 * @returns undefined where there is nothing to do: done, not yet its turn, held by another, deleted.
 */
export async function claimRun(
  orm: Orm,
  promptId: string,
  owner: string,
  ttlMs: number,
): Promise<ClaimedRun | undefined> {
  const [row] = await rowsOf<Omit<ClaimedRun, "epoch"> & { epoch: string | number }>(
    orm,
    sql`with claimed as (
      update prompt p
      set status = 'Running', lease_owner = ${owner}, lease_epoch = p.lease_epoch + 1,
          lease_expires_at = now() + ${ttlMs}::int * interval '1 millisecond',
          attempt = p.attempt + 1, started_at = coalesce(p.started_at, now()), updated_at = now()
      from session s
      where p.id = ${promptId}::uuid and s.id = p.session_id and s.deleted_at is null
        and (p.status = 'Queued' or (p.status = 'Running' and p.lease_expires_at < now()))
        and ${firstInLine}
      returning p.id, p.session_id, p.lease_epoch, p.attempt, p.data
    )
    update session s set inbox_status = 'Processing', updated_at = now()
    from claimed c where s.id = c.session_id
    returning c.id as "promptId", s.id as "sessionId", c.lease_epoch as "epoch", c.attempt, c.data,
      s.repo, s.target_branch as "targetBranch", s.branch, s.sbx_config as "sbxConfig"`,
  );
  return row && { ...row, epoch: Number(row.epoch) };
}

/** Renews all leases of a runner at once. @returns the epochs of those it still holds, by prompt. */
export async function renewLeases(orm: Orm, owner: string, ttlMs: number): Promise<Map<string, number>> {
  const held = await orm
    .update(prompt)
    .set({ leaseExpiresAt: sql`now() + ${ttlMs}::int * interval '1 millisecond'` })
    .where(and(eq(prompt.leaseOwner, owner), eq(prompt.status, "Running")))
    .returning({ id: prompt.id, epoch: prompt.leaseEpoch });
  return new Map(held.map(({ id, epoch }) => [id, epoch]));
}

/** For the embedded database, which has one process: whoever held a lease before it started is dead. */
export async function expireLeases(orm: Orm): Promise<void> {
  await orm
    .update(prompt)
    .set({ leaseExpiresAt: sql`now() - interval '1 second'`, dispatchedAt: sql`'epoch'` })
    .where(eq(prompt.status, "Running"));
}

/** Records the sandbox before it is made, so that a crash leaves word of what to give back. @throws LeaseLost */
export async function holdSandbox(orm: Orm, run: Fence, config: SandboxConfig): Promise<void> {
  const rows = await rowsOf(
    orm,
    sql`with lease as (${leaseOf(run)})
    update session s set sbx_config = ${JSON.stringify(config)}::jsonb, ip_return_retry_count = 0, updated_at = now()
    from lease where s.id = lease.session_id returning s.id`,
  );
  if (rows.length === 0) throw new LeaseLost();
}

/**
 * Appends events in order, numbered without gaps in the session, in one statement. @throws LeaseLost
 */
export async function appendMessages(orm: Orm, run: Fence, events: readonly unknown[]): Promise<void> {
  if (events.length === 0) return;
  const rows = events.map((data) => ({ id: Bun.randomUUIDv7(), data }));
  const written = await rowsOf(
    orm,
    sql`with lease as (${leaseOf(run)}),
    counter as (
      update session s set message_seq = s.message_seq + ${rows.length}::int from lease
      where s.id = lease.session_id returning s.id, s.message_seq - ${rows.length}::int as base)
    insert into message (id, prompt_id, session_id, seq, data)
    select (e.value ->> 'id')::uuid, ${run.promptId}::uuid, counter.id, counter.base + e.ordinality, e.value -> 'data'
    from counter, jsonb_array_elements(${JSON.stringify(rows)}::jsonb) with ordinality e
    returning seq`,
  );
  if (written.length === 0) throw new LeaseLost();
}

/** The prompt's row, locked, while this run still holds it. The row lock keeps a takeover from slipping in between. */
const leaseOf = (run: Fence) =>
  sql`select session_id from prompt where id = ${run.promptId}::uuid and lease_epoch = ${run.epoch}::bigint and status = 'Running' for no key update`;

/** What the other prompts of the session cost, in US dollars. */
export async function costOfOthers(
  orm: Orm,
  run: Pick<ClaimedRun, "promptId" | "sessionId">,
): Promise<number> {
  const [row] = await orm
    .select({ cost: sql<string | null>`sum((${prompt.usage} ->> 'cost_usd')::numeric)` })
    .from(prompt)
    .where(and(eq(prompt.sessionId, run.sessionId), ne(prompt.id, run.promptId)));
  return Number(row?.cost ?? 0);
}

export interface RunEnd {
  status: "Completed" | "Failed";
  error: string | null;
  usage: Record<string, number>;
  /** What the assistant's turn in the conversation says. */
  content: string;
}

/** Ends the run, tells the session, and sends its next prompt on its way, all or nothing. @throws LeaseLost */
export async function finishRun(orm: Orm, run: Fence, end: RunEnd): Promise<void> {
  await orm.transaction(async (tx) => {
    const { status, error, usage } = end;
    const sessionId = await letGo(tx, run, { status, error, usage, finishedAt: sql`now()` });
    // Locked before the next prompt is looked for: a follow-up that arrives now waits for us, then sees the end.
    await tx.select({ id: session.id }).from(session).where(eq(session.id, sessionId)).for("update");
    const [next] = await tx
      .select({ id: prompt.id })
      .from(prompt)
      .where(and(eq(prompt.sessionId, sessionId), eq(prompt.status, "Queued")))
      .orderBy(prompt.seq)
      .limit(1);
    const turn: Turn = {
      role: "assistant",
      content: end.content,
      prompt_id: run.promptId,
      at: new Date().toISOString(),
    };
    await tx
      .update(session)
      .set({
        inboxStatus: next ? "Pending" : end.status,
        messages: sql`${session.messages} || ${JSON.stringify([turn])}::jsonb`,
        updatedAt: sql`now()`,
      })
      .where(eq(session.id, sessionId));
    if (next) await dispatch(tx, next.id);
    await tx.execute(sql`select pg_notify(${CHANNELS.sandboxDone}, '')`);
  });
}

/** Gives a running prompt back to the line, for another process to start over. @throws LeaseLost */
export async function handOver(orm: Orm, run: Fence): Promise<void> {
  await orm.transaction(async (tx) => {
    const sessionId = await letGo(tx, run, { status: "Queued" });
    await tx
      .update(session)
      .set({ inboxStatus: "Pending", updatedAt: sql`now()` })
      .where(eq(session.id, sessionId));
    await dispatch(tx, run.promptId);
  });
}

async function letGo(tx: Transaction, run: Fence, change: object): Promise<string> {
  const [ended] = await tx
    .update(prompt)
    .set({ ...change, leaseOwner: null, leaseExpiresAt: null, updatedAt: sql`now()` })
    .where(and(eq(prompt.id, run.promptId), eq(prompt.leaseEpoch, run.epoch), eq(prompt.status, "Running")))
    .returning({ sessionId: prompt.sessionId });
  if (!ended) throw new LeaseLost();
  return ended.sessionId;
}

async function dispatch(tx: Transaction, promptId: string): Promise<void> {
  await tx.update(prompt).set({ dispatchedAt: sql`now()` }).where(eq(prompt.id, promptId));
  await enqueue(tx, { topic: QUEUES.promptRun, key: promptId, payload: { prompt_id: promptId } });
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
        where s.deleted_at is null and ${firstInLine}
          and (p.status = 'Queued' and p.dispatched_at < now() - ${graceMs}::int * interval '1 millisecond'
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
    await tx.execute(sql`select pg_notify(${CHANNELS.outbox}, '')`);
    return forgotten.length;
  });
}
