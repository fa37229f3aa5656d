import { and, eq, sql } from "drizzle-orm";
import { isUniqueViolation, type Orm, rowsOf, type Transaction } from "../db/client.ts";
import type { AgentProcess, Failure, SandboxConfig } from "../db/json-columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import { prompt } from "../db/tables.ts";
import {
  detachRun,
  endRun,
  handOverRun,
  hasReleased,
  postponeRun,
  type RunEnd,
} from "../lifecycle/end-run.ts";
import { type Fence, heldBy, LeaseLost, lockedLease } from "../lifecycle/fence.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { PromptChange } from "../lifecycle/transitions.ts";

/** Bytes of the agent's output that were stored before, and that are with this write. */
export interface Progress {
  from: number;
  to: number;
}

/**
 * All that a run writes, under its fence. Each method is tried again while the database is unavailable, and has its effect
 * once although an answer may be lost on its way.
 * @throws LeaseLost from each method, where the run was superseded; what the signal aborted with.
 */
export interface RunWriter {
  /** Records the sandbox before it is made, so that a crash leaves a record of what to return. */
  holdSandbox(config: SandboxConfig): Promise<void>;
  /** An agent that an earlier runner started is adopted: that is no new attempt. */
  markAdopted(): Promise<void>;
  /** Records the agent that was started, for a takeover. None of its output is stored yet. */
  recordProcess(process: AgentProcess): Promise<void>;
  /** From now on the work may have left the sandbox. */
  markDelivering(process: AgentProcess): Promise<void>;
  /**
   * Appends events in order, numbered without gaps in the session.
   * @param progress the agent's output that they were made of, stored with them: a takeover, even after a crash, neither
   * leaves out nor repeats a line.
   */
  append(events: readonly unknown[], progress?: Progress): Promise<void>;
  finish(end: RunEnd): Promise<void>;
  postpone(again: { delayMs: number; failure: Failure; countsAsAttempt: boolean }): Promise<void>;
  handOver(): Promise<void>;
  detach(graceMs: number): Promise<void>;
}

/** @param options.signal ends the retries: aborts with LeaseLost, or when this process must not wait any longer. */
export function openRunWriter(options: { orm: Orm; run: ClaimedRun; signal: AbortSignal }): RunWriter {
  const { orm, run, signal } = options;
  const change = (set: PromptChange) => retryWhileUnavailable(signal, () => update(orm, run, set));
  /** What gives the lease back cannot be repeated under it: an earlier attempt may have done it. */
  const release = (work: (tx: Transaction) => Promise<void>) =>
    retryWhileUnavailable(signal, async (attempt) => {
      try {
        await orm.transaction(work);
      } catch (error) {
        if (error instanceof LeaseLost && attempt > 1 && (await hasReleased(orm, run))) return;
        throw error;
      }
    });

  return {
    holdSandbox: (config) => retryWhileUnavailable(signal, () => holdSandbox(orm, run, config)),
    // An absolute number: a repeated attempt changes nothing more.
    markAdopted: () => change({ attempt: Math.max(run.attempt - 1, 1) }),
    recordProcess: (process) => change({ process, outputOffset: 0 }),
    markDelivering: (process) => change({ process: { ...process, delivering: true } }),
    append(events, progress) {
      // The same ids in each attempt: what an earlier one stored is recognised.
      const rows = events.map((data) => ({ id: Bun.randomUUIDv7(), data }));
      return retryWhileUnavailable(signal, () => appendRows(orm, run, rows, progress));
    },
    finish: (end) => release((tx) => endRun(tx, run, end)),
    postpone: (again) => release((tx) => postponeRun(tx, run, again)),
    handOver: () => release((tx) => handOverRun(tx, run)),
    detach: (graceMs) => release((tx) => detachRun(tx, run, graceMs)),
  };
}

async function update(orm: Orm, run: Fence, change: PromptChange): Promise<void> {
  const rows = await orm
    .update(prompt)
    .set({ ...change, updatedAt: sql`now()` })
    .where(heldBy(run))
    .returning({ id: prompt.id });
  if (rows.length === 0) throw new LeaseLost();
}

async function holdSandbox(orm: Orm, run: Fence, config: SandboxConfig): Promise<void> {
  const rows = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)})
    update session s set sbx_config = ${JSON.stringify(config)}::jsonb, ip_return_retry_count = 0, updated_at = now()
    from lease where s.id = lease.session_id returning s.id`,
  );
  if (rows.length === 0) throw new LeaseLost();
}

/** One statement, all or nothing. */
async function appendRows(
  orm: Orm,
  run: Fence,
  rows: readonly { id: string; data: unknown }[],
  progress: Progress | undefined,
): Promise<void> {
  if (rows.length === 0 && (!progress || progress.from === progress.to)) return;
  try {
    const written = await rowsOf(
      orm,
      sql`with lease as (${progress ? leaseAdvanced(run, progress) : lockedLease(run)}),
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
  } catch (error) {
    if (isUniqueViolation(error, "message_pkey")) return;
    throw error;
  }
  if (!progress || !(await isStored(orm, run, progress.to))) throw new LeaseLost();
}

/** Locks the lease and moves the stored offset of the agent's output. */
const leaseAdvanced = (run: Fence, { from, to }: Progress) =>
  sql`update prompt set output_offset = ${to}::bigint where id = ${run.promptId}::uuid
    and lease_epoch = ${run.epoch}::bigint and status = 'Running' and output_offset = ${from}::bigint
    returning session_id`;

/** Nobody else writes under this run's epoch: an offset that stands there was stored by an attempt whose answer was lost. */
async function isStored(orm: Orm, run: Fence, to: number): Promise<boolean> {
  const rows = await orm
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(heldBy(run), eq(prompt.outputOffset, to)));
  return rows.length > 0;
}
