import { and, eq, type SQL, sql } from "drizzle-orm";
import type { AgentEvent } from "../agents/agent.ts";
import { isUniqueViolation, type Orm, type Queryable, rowsOf } from "../db/client.ts";
import type { AgentProcess } from "../db/json-columns.ts";
import { prompt } from "../db/tables.ts";
import { type Fence, heldBy, LeaseLost, lockedLease } from "../lifecycle/fence.ts";
import { sayAgain } from "../lifecycle/steers.ts";

/** Offsets in the agent's output, bytes: what is stored before a write, and after it. */
export interface Progress {
  from: number;
  to: number;
}

export interface NewMessage {
  id: string;
  data: unknown;
}

/** Whether an agent has stored output since the present attempt began. */
const hasOutput = sql`(output_offset > 0 or coalesce((process ->> 'hasOutput')::boolean, false))`;

/** The process to record: a resumed agent has an output of its own, so the offset will not show what is stored before it. */
export const withOutput = (process: AgentProcess): SQL<AgentProcess> =>
  sql`${JSON.stringify(process)}::jsonb || case when ${hasOutput} then '{"hasOutput": true}'::jsonb else '{}'::jsonb end`;

/** Appends the messages in one statement. @throws LeaseLost */
export async function appendRows(
  orm: Queryable,
  run: Fence,
  rows: readonly NewMessage[],
  progress: Progress | undefined,
): Promise<void> {
  if (rows.length === 0 && (!progress || progress.from === progress.to)) return;
  try {
    if (await insertRows(orm, run, rows, progress ? leaseAdvanced(run, progress) : lockedLease(run))) return;
  } catch (error) {
    if (isUniqueViolation(error, "message_pkey")) return;
    throw error;
  }
  if (!progress || !(await isHeld(orm, run, eq(prompt.outputOffset, progress.to)))) throw new LeaseLost();
}

/**
 * Appends a message, unless the prompt's present attempt has one that says the same, in one statement. @throws LeaseLost
 */
export async function appendOnce(
  orm: Queryable,
  run: Fence,
  row: NewMessage & { data: AgentEvent },
): Promise<void> {
  if (await insertRows(orm, run, [row], leaseUntold(run, row.data["message"]))) return;
  if (!(await isHeld(orm, run))) throw new LeaseLost();
}

/**
 * Begins the next attempt with a message, so that a restart that is begun twice has one message: the second time, no agent has
 * stored output since. @throws LeaseLost
 */
export async function beginAnew(orm: Orm, run: Fence, row: NewMessage): Promise<void> {
  await orm.transaction(async (tx) => {
    if (await insertRows(tx, run, [row], leaseBegunAnew(run))) return sayAgain(tx, run.promptId);
    if (!(await isHeld(tx, run))) throw new LeaseLost();
  });
}

/** @param lease a statement that locks the prompt's row and returns its `session_id` and `redone`, or no row. */
async function insertRows(
  orm: Queryable,
  run: Fence,
  rows: readonly NewMessage[],
  lease: SQL,
): Promise<boolean> {
  const written = await rowsOf(
    orm,
    sql`with lease as (${lease}),
    counter as (
      update session s set message_seq = s.message_seq + ${rows.length}::int from lease
      where s.id = lease.session_id
      returning s.id, s.message_seq - ${rows.length}::int as base, lease.redone + 1 as attempt),
    stored as (
      insert into message (id, prompt_id, session_id, seq, attempt, data)
      select (e.value ->> 'id')::uuid, ${run.promptId}::uuid, counter.id, counter.base + e.ordinality, counter.attempt,
        e.value -> 'data'
      from counter, jsonb_array_elements(${JSON.stringify(rows)}::jsonb) with ordinality e)
    select session_id from lease`,
  );
  return written.length > 0;
}

/** Locks the lease and moves the stored offset of the agent's output. */
const leaseAdvanced = (run: Fence, { from, to }: Progress) =>
  sql`update prompt set output_offset = ${to}::bigint where id = ${run.promptId}::uuid
    and lease_epoch = ${run.epoch}::bigint and status = 'Running' and output_offset = ${from}::bigint
    returning session_id, redone`;

/** Locks the lease, if the present attempt has no message that says the same. */
const leaseUntold = (run: Fence, said: unknown) =>
  sql`select p.session_id, p.redone from prompt p where p.id = ${run.promptId}::uuid and p.lease_epoch = ${run.epoch}::bigint
    and p.status = 'Running' and not exists (select from message m where m.prompt_id = p.id and m.attempt = p.redone + 1
      and m.data -> 'message' = ${JSON.stringify(said)}::jsonb)
    for no key update`;

/** Locks the lease, if an agent has stored output since the attempt began, and begins the next one. */
const leaseBegunAnew = (run: Fence) =>
  sql`update prompt set redone = redone + 1, output_offset = 0, process = null, updated_at = now()
    where id = ${run.promptId}::uuid and lease_epoch = ${run.epoch}::bigint and status = 'Running' and ${hasOutput}
    returning session_id, redone`;

/** Only this run writes under its epoch: what is stored is stored by an attempt whose answer was lost. */
async function isHeld(orm: Queryable, run: Fence, condition?: SQL): Promise<boolean> {
  const rows = await orm
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(heldBy(run), condition));
  return rows.length > 0;
}
