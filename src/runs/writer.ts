import { sql } from "drizzle-orm";
import type { AgentEvent } from "../agents/agent.ts";
import type { RunLimits } from "../config/config.ts";
import { recordAudit } from "../db/audit-log.ts";
import { type Orm, rowsOf, type Transaction } from "../db/client.ts";
import type { AgentProcess, RunIsolation, SandboxConfig } from "../db/json-columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import { prompt } from "../db/tables.ts";
import { intendAfterRun } from "../effects/pull-request-store.ts";
import { disownPush, recordPush, settlePush } from "../effects/push-store.ts";
import type { EgressRow } from "../egress/records.ts";
import {
  detachRun,
  endRun,
  handOverRun,
  hasReleased,
  parkRun,
  postponeRun,
  type RunEnd,
  retryRun,
  withoutStalls,
} from "../lifecycle/end-run.ts";
import { type Fence, LeaseLost, lockedLease, updateHeld } from "../lifecycle/fence.ts";
import { nextPhase } from "../lifecycle/phases.ts";
import { cancelQuestions, followQuestions } from "../lifecycle/questions.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { PromptChange, Retry, Wait } from "../lifecycle/transitions.ts";
import type { KnownMemory } from "../memory/memory.ts";
import { appendOnce, appendRows, beginAnew, type Progress, withOutput } from "./append-store.ts";
import { appendTogether } from "./append-together-store.ts";
import { readEgress, upsertEgress } from "./egress-store.ts";
import { appendTalk, isTalk } from "./talk-store.ts";

/** A pull request that is to be made without being asked for. */
export interface WantedPullRequest {
  /** The repository and the branch. */
  target: string;
  request: { base: string; draft: boolean };
}

/**
 * All writes of a run, under its fence. Each method retries while the database is unavailable, and takes effect once even
 * if an answer is lost.
 * @throws from each method: LeaseLost if the run was superseded; what the signal aborted with.
 */
export interface RunWriter {
  /** Records a sandbox before it is created, so that it can be returned after a crash. */
  holdSandbox(config: SandboxConfig): Promise<void>;
  /** See effects/push-store.ts. */
  recordPush(commit: string, target: string, more?: { replaces?: string; first?: boolean }): Promise<void>;
  settlePush(commit: string, failure: string | undefined, more?: { first: boolean }): Promise<boolean>;
  disownPush(commit: string, failure: string): Promise<void>;
  /** Records that the agent of an earlier runner was adopted, which is not a new attempt. */
  markAdopted(process: AgentProcess): Promise<void>;
  /** Records that reading the output of an adopted agent does not kill its runner. */
  recordCalm(): Promise<void>;
  /**
   * Records a started agent, for a takeover, how it is isolated, and, unless it is resumed, what it knows. None of its output is
   * stored yet.
   */
  recordProcess(
    process: AgentProcess,
    more?: { isolation?: RunIsolation; memory?: Pick<KnownMemory, "kind" | "reason"> | undefined },
  ): Promise<void>;
  /** Records that work may leave the sandbox from now on. */
  markDelivering(process: AgentProcess): Promise<void>;
  /**
   * Appends events in order, numbered without gaps in the session.
   * @param progress the part of the agent's output that the events are from. It is stored in the same statement, so that a
   * takeover neither skips nor repeats a line, even after a crash.
   */
  append(events: readonly unknown[], progress?: Progress): Promise<void>;
  /** Appends an event, unless the attempt has one with the same message: whatever crashes meanwhile, the user reads it once. */
  appendOnce(event: AgentEvent): Promise<void>;
  /**
   * Begins the next attempt with this event, which supersedes all messages so far, and forgets the old agent. Changes
   * nothing if no agent has stored output since the last beginning.
   */
  beginAnew(event: unknown): Promise<void>;
  /** What the run's programs asked for on the network, with events for the user, in one transaction. */
  recordEgress(rows: readonly EgressRow[], events: readonly unknown[]): Promise<void>;
  /** What was recorded of that so far. */
  readEgress(): Promise<EgressRow[]>;
  /** Records in the audit log that a credential of the operator is about to be sent to a host; once a run for each. */
  recordSecretUse(secret: string, host: string): Promise<void>;
  /** @param pullRequest to be made of the branch, if the run ends as Completed. */
  finish(end: RunEnd, pullRequest?: WantedPullRequest): Promise<void>;
  /** See lifecycle/end-run.ts. */
  retry(again: Retry): Promise<void>;
  postpone(again: Wait): Promise<void>;
  park(again: Wait, graceMs: number): Promise<void>;
  handOver(): Promise<void>;
  detach(graceMs: number): Promise<void>;
}

/**
 * @param options.asyncCommit for what a run of this machine need not remember after a loss of power; default: `orm`.
 * @param options.signal ends the retries; it aborts with LeaseLost or when this process must stop.
 */
export function openRunWriter(options: {
  orm: Orm;
  asyncCommit?: Orm;
  run: ClaimedRun;
  signal: AbortSignal;
  /** For what an agent asks its user; only who appends an agent's output needs it. */
  limits?: Pick<RunLimits, "permissionTimeoutMs">;
}): RunWriter {
  const { orm, asyncCommit = orm, run, signal } = options;
  const used = new Set<string>();
  const change = async (set: PromptChange): Promise<void> => {
    await retryWhileUnavailable(signal, () => updateHeld(orm, run, { ...set, updatedAt: sql`now()` }));
  };
  /** What an earlier agent has asked needs no answer any more. */
  const changeAgent = (set: PromptChange) =>
    retryWhileUnavailable(signal, () =>
      orm.transaction(async (tx) => {
        await updateHeld(tx, run, { ...set, updatedAt: sql`now()` });
        await cancelQuestions(tx, [run.promptId]);
        await followQuestions(tx, run.promptId);
      }),
    );
  /** A write that releases the lease cannot be repeated under it: an earlier attempt may have succeeded. */
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
    // A sandbox of this machine that nobody holds is removed.
    holdSandbox: (config) =>
      retryWhileUnavailable(signal, () =>
        holdSandbox(config.provider === "local" ? asyncCommit : orm, run, config),
      ),
    recordPush: (commit, target, more) =>
      retryWhileUnavailable(signal, () => recordPush(orm, run, { commit, target, ...more })),
    settlePush: (commit, failure, more) =>
      retryWhileUnavailable(signal, () => settlePush(orm, run, { commit, failure, ...more })),
    disownPush: (commit, failure) =>
      retryWhileUnavailable(signal, () => disownPush(orm, run, { commit, failure })),
    markAdopted: (process) => retryWhileUnavailable(signal, () => recordAdoption(orm, run, process)),
    recordCalm: () => change({ process: withoutStalls }),
    recordProcess: (process, { isolation, memory } = {}) =>
      changeAgent({
        ...(isolation && { isolation }),
        phases: nextPhase("working"),
        process: withOutput(process),
        outputOffset: 0,
        // Whatever it needed to start has answered.
        outage: sql`case when ${prompt.outage} ->> 'cause' = 'model' then ${prompt.outage} end`,
        ...(memory && { memory: memory.kind, memoryReason: memory.reason }),
      }),
    markDelivering: (process) =>
      change({ process: withOutput({ ...process, delivering: true }), phases: nextPhase("delivering") }),
    append(events, progress) {
      // The same ids in each attempt, to recognize what an earlier one has stored.
      const rows = events.map((data) => ({ id: Bun.randomUUIDv7(), data }));
      const timeoutMs = options.limits?.permissionTimeoutMs;
      if (progress && timeoutMs !== undefined && events.some(isTalk))
        return retryWhileUnavailable(signal, () => appendTalk(orm, run, { rows, progress, timeoutMs }));
      return retryWhileUnavailable(signal, () =>
        progress ? appendTogether(orm, run, rows, progress) : appendRows(orm, run, rows, undefined),
      );
    },
    appendOnce(data) {
      const row = { id: Bun.randomUUIDv7(), data };
      return retryWhileUnavailable(signal, () => appendOnce(orm, run, row));
    },
    beginAnew(data) {
      const row = { id: Bun.randomUUIDv7(), data };
      return retryWhileUnavailable(signal, () => beginAnew(orm, run, row));
    },
    recordEgress(egress, events) {
      const rows = events.map((data) => ({ id: Bun.randomUUIDv7(), data }));
      return retryWhileUnavailable(signal, () =>
        orm.transaction(async (tx) => {
          await upsertEgress(tx, run, egress);
          await appendRows(tx, run, rows, undefined);
        }),
      );
    },
    readEgress: () => retryWhileUnavailable(signal, () => readEgress(orm, run)),
    async recordSecretUse(secret, host) {
      const use = `${secret} ${host}`;
      if (used.has(use)) return;
      const detail = { host, prompt: run.promptId };
      const entry = { actor: "runner", action: "secret.use", target: `secret:${secret}`, detail } as const;
      await retryWhileUnavailable(signal, () => recordAudit(orm, entry));
      used.add(use);
    },
    finish: (end, pullRequest) =>
      release(async (tx) => {
        const status = await endRun(tx, run, end);
        if (status !== "Completed" || !pullRequest || end.commit === undefined) return;
        const session = { id: run.sessionId, pushedCommit: end.commit };
        await intendAfterRun(tx, { session, ...pullRequest });
      }),
    retry: (again) => release((tx) => retryRun(tx, run, again)),
    postpone: (again) => release((tx) => postponeRun(tx, run, again)),
    park: (again, graceMs) => release((tx) => parkRun(tx, run, again, graceMs)),
    handOver: () => release((tx) => handOverRun(tx, run)),
    detach: (graceMs) => release((tx) => detachRun(tx, run, graceMs)),
  };
}

/** Its agent may have asked something. An absolute number of attempts, so that a repeated write changes nothing. */
const recordAdoption = (orm: Orm, run: ClaimedRun, process: AgentProcess) =>
  orm.transaction(async (tx) => {
    const attempt = Math.max(run.attempt - 1, 1);
    await updateHeld(tx, run, { process, attempt, phases: nextPhase("working"), updatedAt: sql`now()` });
    await followQuestions(tx, run.promptId);
  });

async function holdSandbox(orm: Orm, run: Fence, config: SandboxConfig): Promise<void> {
  const rows = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)})
    update session s set sbx_config = ${JSON.stringify(config)}::jsonb, ip_return_retry_count = 0, updated_at = now()
    from lease where s.id = lease.session_id returning s.id`,
  );
  if (rows.length === 0) throw new LeaseLost();
}
