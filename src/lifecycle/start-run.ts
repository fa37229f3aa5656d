import { sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import type { PromptKind, RunMode } from "../db/columns.ts";
import type { AgentProcess, Failure, OutageSeries, SandboxConfig } from "../db/json-columns.ts";
import { conversationCost } from "./conversation-cost.ts";
import type { Fence } from "./fence.ts";
import { runBegins } from "./phases.ts";

/** What the runner that has claimed a prompt knows about it and its session. */
export interface ClaimedRun extends Fence {
  sessionId: string;
  /** By which its agent knows the conversation. */
  conversationId: string;
  userId: string;
  /** Counts from 1. */
  attempt: number;
  /** Like attempts, but including those that ended before the prompt could have caused it. */
  claims: number;
  kind: PromptKind;
  /** Null: it was started before that was recorded, or needs none. */
  agent: string | null;
  model: string | null;
  mode: RunMode;
  maxTurns: number | null;
  /** What its model calls may cost, in billionths of a US dollar. Null: what the deployment allows. */
  budget: number | null;
  /** It has waited for its budget: an agent has worked on it, and what that left is where it goes on. */
  suspended: boolean;
  data: unknown;
  /** Who asked. Null: unknown. */
  authorName: string | null;
  authorEmail: string | null;
  /** When it was started first, in ISO 8601. */
  startedAt: string;
  repo: string;
  targetBranch: string;
  branch: string;
  /** The commit that a fork begins with. */
  startCommit: string | null;
  /** The commit that the session's first prompt began with. Null: it has not ended, or it is from before this was recorded. */
  began: string | null;
  /** The last commit that was, or was about to be, pushed to the branch. Null: the session has not made it. */
  pushedCommit: string | null;
  /** What the session could not push, in the database. */
  unpushedCommit: string | null;
  /** The machine that alone has it. Null: the database has it. */
  unpushedHost: string | null;
  /** A sandbox that an earlier run of the session still holds. */
  sbxConfig: SandboxConfig | null;
  /** The agent that an earlier runner of this prompt started. */
  process: AgentProcess | null;
  /** Bytes of its output that are stored. */
  outputOffset: number;
  cancelRequested: boolean;
  /** The machine that ran the session's last prompt. */
  warmHost: string | null;
  /** Cost of the agent's conversation so far, US dollars: of the session's prompts since it last began one. */
  earlierCostUsd: number;
  /** How long the prompt waited for this start, milliseconds. */
  waitedMs: number;
  failures: Failure[];
  /** What the prompt has waited for without a success since. */
  outage: OutageSeries | null;
}

/** Numbers that drivers may return as text. */
type Counts = "epoch" | "claims" | "outputOffset" | "earlierCostUsd" | "waitedMs";

/**
 * Starts a run of a waiting prompt, or takes over an abandoned one, with a new lease and a higher epoch. If the earlier
 * runner died before it started an agent, that was not an attempt: the prompt cannot have caused it. Nor are more runners
 * that die before they have adopted its agent or started another: a service that crashes again and again must not use up the
 * attempts of all prompts.
 * @param lease.host the machine, where the session is warm from now on.
 * @param lease.defaultAgent works on it, if it names none; then that is recorded.
 * @param lease.ttlMs how long the lease lasts without a heartbeat, milliseconds on the database's clock.
 */
export async function startRun(
  tx: Transaction,
  promptId: string,
  lease: { owner: string; host: string; ttlMs: number; defaultAgent?: string },
): Promise<ClaimedRun | undefined> {
  const [row] = await rowsOf<Omit<ClaimedRun, Counts> & Record<Counts, string>>(
    tx,
    sql`with claimed as (
      update prompt set status = 'Running', lease_owner = ${lease.owner}, lease_epoch = lease_epoch + 1,
        lease_expires_at = now() + ${lease.ttlMs}::int * interval '1 millisecond', not_before = null, waiting_for = null,
        agent = case when kind = 'agent' then coalesce(agent, ${lease.defaultAgent ?? null}) end,
        attempt = attempt + case when status = 'Running' and coalesce((process ->> 'counted')::boolean, process is null)
          then 0 else 1 end,
        process = case when status = 'Running' then process || '{"counted": true}' end,
        started_at = coalesce(started_at, now()), phases = ${runBegins},
        isolation = case when status = 'Running' then isolation end, updated_at = now()
      where id = ${promptId}::uuid returning *
    )
    update session s set inbox_status = 'Processing', waiting = null, warm_host = ${lease.host}, updated_at = now()
    from claimed c left join unpushed_work w on w.session_id = c.session_id where s.id = c.session_id
    returning c.id as "promptId", s.id as "sessionId", s.user_id as "userId", c.lease_epoch as "epoch", c.attempt, c.lease_epoch - c.uncounted_claims as "claims",
      c.kind, c.agent, c.model, c.mode, c.max_turns as "maxTurns", c.budget, c.suspended, coalesce(s.conversation_id, s.id) as "conversationId",
      c.data, c.author_name as "authorName", c.author_email as "authorEmail",
      to_char(c.started_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "startedAt", s.repo, s.target_branch as "targetBranch", s.branch, s.start_commit as "startCommit", s.pushed_commit as "pushedCommit",
      (select first.start_commit from prompt first where first.session_id = s.id and first.start_commit is not null
        order by first.seq limit 1) as began,
      w.commit as "unpushedCommit", w.host as "unpushedHost", s.sbx_config as "sbxConfig", c.process - 'counted' as process,
      c.output_offset as "outputOffset", c.cancel_requested_at is not null as "cancelRequested", c.failures, c.outage,
      (select before.warm_host from session before where before.id = s.id) as "warmHost",
      (${conversationCost(
        (table) =>
          sql`${table}.id <> c.id and coalesce(${table}.agent, c.agent) is not distinct from c.agent`,
      )}) as "earlierCostUsd",
      extract(epoch from now() - greatest(c.dispatched_at, c.created_at)) * 1000 as "waitedMs"`,
  );
  return (
    row && {
      ...row,
      epoch: Number(row.epoch),
      claims: Number(row.claims),
      outputOffset: Number(row.outputOffset),
      budget: row.budget === null ? null : Number(row.budget),
      earlierCostUsd: Number(row.earlierCostUsd),
      waitedMs: Math.max(0, Number(row.waitedMs)),
    }
  );
}
