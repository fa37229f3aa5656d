import { and, eq, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import type { AgentProcess, SandboxConfig } from "../db/json-columns.ts";
import { prompt } from "../db/tables.ts";
import { type Fence, LeaseLost } from "./run.ts";

/** A prompt while this run still holds it: part of the condition of every write of a run. */
export const heldBy = (run: Fence) =>
  and(eq(prompt.id, run.promptId), eq(prompt.leaseEpoch, run.epoch), eq(prompt.status, "Running"));

/** The prompt's row, locked, while this run still holds it. The row lock keeps a takeover from slipping in between. */
const leaseOf = (run: Fence) =>
  sql`select session_id from prompt where id = ${run.promptId}::uuid and lease_epoch = ${run.epoch}::bigint
    and status = 'Running' for no key update`;

/** The same, moving on what is known of the agent's output. */
const leaseMoving = (run: Fence, { from, to }: Progress) =>
  sql`update prompt set output_offset = ${to}::bigint where id = ${run.promptId}::uuid
    and lease_epoch = ${run.epoch}::bigint and status = 'Running' and output_offset = ${from}::bigint
    returning session_id`;

/** Bytes of the agent's output that were stored before, and that are with this write. */
export interface Progress {
  from: number;
  to: number;
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

/** Records the agent that was started, for whoever must go on with it. Nothing of its output is stored yet. @throws LeaseLost */
export async function recordProcess(orm: Orm, run: Fence, process: AgentProcess): Promise<void> {
  await change(orm, run, { process, outputOffset: 0 });
}

/** From now on the work may have left the sandbox. @throws LeaseLost */
export async function markDelivering(orm: Orm, run: Fence, process: AgentProcess): Promise<void> {
  await change(orm, run, { process: { ...process, delivering: true } });
}

/** An agent that still runs was found again: that is no new attempt. @throws LeaseLost */
export async function markAdopted(orm: Orm, run: Fence): Promise<void> {
  await change(orm, run, { attempt: sql`greatest(${prompt.attempt} - 1, 1)` });
}

async function change(orm: Orm, run: Fence, set: object): Promise<void> {
  const rows = await orm
    .update(prompt)
    .set({ ...set, updatedAt: sql`now()` })
    .where(heldBy(run))
    .returning({ id: prompt.id });
  if (rows.length === 0) throw new LeaseLost();
}

/**
 * Appends events in order, numbered without gaps in the session, in one statement.
 * @param progress the agent's output that they were made of, stored with them: whoever goes on, even after a crash or
 * an answer that got lost on its way, neither leaves out nor repeats a line.
 * @throws LeaseLost
 */
export async function appendMessages(
  orm: Orm,
  run: Fence,
  events: readonly unknown[],
  progress?: Progress,
): Promise<void> {
  if (events.length === 0 && (!progress || progress.from === progress.to)) return;
  const rows = events.map((data) => ({ id: Bun.randomUUIDv7(), data }));
  const written = await rowsOf(
    orm,
    sql`with lease as (${progress ? leaseMoving(run, progress) : leaseOf(run)}),
    counter as (
      update session s set message_seq = s.message_seq + ${rows.length}::int from lease
      where s.id = lease.session_id returning s.id, s.message_seq - ${rows.length}::int as base),
    stored as (
      insert into message (id, prompt_id, session_id, seq, data)
      select (e.value ->> 'id')::uuid, ${run.promptId}::uuid, counter.id, counter.base + e.ordinality, e.value -> 'data'
      from counter, jsonb_array_elements(${JSON.stringify(rows)}::jsonb) with ordinality e)
    select session_id from lease`,
  );
  if (written.length > 0) return;
  if (!progress || !(await isStored(orm, run, progress.to))) throw new LeaseLost();
}

/** Nobody else writes under this run's epoch: what stands there was stored by us, and only the answer was lost. */
async function isStored(orm: Orm, run: Fence, to: number): Promise<boolean> {
  const rows = await orm
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(heldBy(run), eq(prompt.outputOffset, to)));
  return rows.length > 0;
}
