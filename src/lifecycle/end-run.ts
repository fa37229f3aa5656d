import { and, eq, ne, sql } from "drizzle-orm";
import { type AuditEntry, recordAudit } from "../db/audit-log.ts";
import type { Queryable, Transaction } from "../db/client.ts";
import type { Failure, MemoryFile, Turn, Waiting } from "../db/json-columns.ts";
import { agentMemory } from "../db/memory-tables.ts";
import { provenance } from "../db/safety-tables.ts";
import { deadLetter, prompt, session } from "../db/tables.ts";
import { QUEUES } from "../queue/names.ts";
import { dispatch, dispatchNext, notifySandboxIdle } from "./dispatch.ts";
import { type Fence, updateHeld } from "./fence.ts";
import { namedByMemory } from "./kept-pieces.ts";
import { lockSessionRow } from "./locks.ts";
import { cancelQuestions } from "./questions.ts";
import { queuePush } from "./queue-push.ts";
import type { ClaimedRun } from "./start-run.ts";
import { cancelSteers, queueSteers } from "./steers.ts";
import {
  type EndStatus,
  type PromptChange,
  promptAfter,
  type Retry,
  type Suspension,
  sessionAfter,
  type Wait,
} from "./transitions.ts";

/** The lease owner of a run whose runner has left its agent to the next runner on the same machine. */
export const DETACHED = "detached";

/** The process of a prompt, as if it had been adopted with success: its adoptions without progress no longer count. */
export const withoutStalls = sql`${prompt.process} - 'adoptedAt' - 'stalls'`;

/** What an agent remembers at the end of a run; its pieces are stored already. */
export interface NewMemory {
  agent: string;
  files: MemoryFile[];
  bytes: number;
  /** A StateProblem. */
  problem: string | null;
}

/** What was signed about a run. */
export interface NewProvenance {
  keyId: string;
  envelope: string;
}

export interface RunEnd {
  status: EndStatus;
  error: string | null;
  errorKind: Failure["kind"] | null;
  usage: Record<string, number>;
  /** The assistant's turn in the conversation. */
  content: string;
  /** The prompt becomes a dead letter, with its failures as evidence. */
  dead?: boolean;
  /** Becomes the session's. Undefined: the agent has left nothing. */
  memory?: NewMemory | undefined;
  /** The tip of its branch. Undefined: its work was not delivered. */
  commit?: string | undefined;
  /** Where its work began. */
  startCommit?: string | undefined;
  /** Its branch was pushed: nothing is left to be kept for a push. */
  pushed?: boolean;
  /** Its branch could not be pushed because the host is away: a prompt of its own does that later. */
  pushLater?: boolean;
  /** Undefined: it has made no commits. */
  provenance?: NewProvenance | undefined;
  /** What the run did outside, for the audit log. */
  audit?: AuditEntry | undefined;
  /** It does not end: it waits for its budget, and goes on from what was delivered. */
  suspends?: Suspension | undefined;
  /** The failure that ended this run, in addition to those that it was claimed with. */
  failure?: Failure | undefined;
}

/**
 * Ends the run, updates the session and dispatches its next prompt. A run that its user has cancelled meanwhile ends as
 * Cancelled, whatever its outcome.
 * @returns how it has ended; Queued: it waits for its budget. @throws LeaseLost
 */
export async function endRun(tx: Transaction, run: ClaimedRun, end: RunEnd): Promise<EndStatus | "Queued"> {
  const ended = await updateHeld(tx, run, {
    ...(end.suspends ? promptAfter.runSuspended(end.suspends) : promptAfter.runEnded(end)),
    // What was metered is what counts, whatever the agent says.
    usage: sql`${JSON.stringify(end.usage)}::jsonb || coalesce(prompt_usage(${run.promptId}::uuid), '{}')`,
    commit: end.commit ?? null,
    // A prompt that is tried again goes on from what it had delivered before.
    ...(end.startCommit !== undefined && {
      startCommit: sql`coalesce(${prompt.startCommit}, ${end.startCommit})`,
    }),
  });
  // Locked before the next prompt is read: a follow-up that arrives now waits for this transaction, then sees its result.
  await lockSessionRow(tx, run.sessionId);
  if (end.pushLater && ended.status !== "Cancelled") await queuePush(tx, run);
  await cancelQuestions(tx, [run.promptId]);
  if (ended.status === "Cancelled") await cancelSteers(tx, [run.promptId]);
  else await queueSteers(tx, run);
  const waits = end.suspends && ended.status === "Queued" ? end.suspends : undefined;
  const next = waits ? undefined : await dispatchNext(tx, run.sessionId);
  const dead = end.dead === true && ended.status === "Failed";
  const turn: Turn = {
    role: "assistant",
    content: end.content,
    prompt_id: run.promptId,
    at: new Date().toISOString(),
  };
  await tx
    .update(session)
    .set({
      ...(waits
        ? sessionAfter.runSuspended(budgetWait(waits))
        : sessionAfter.runEnded({ status: ended.status as EndStatus, waiting: next !== undefined, dead })),
      // The last attempt's turn alone: a revived prompt has an earlier one.
      messages: sql`jsonb_path_query_array(${session.messages},
        '$[*] ? (!(@.role == "assistant" && @.prompt_id == $id))', jsonb_build_object('id', ${run.promptId}::text))
        || ${JSON.stringify([turn])}::jsonb`,
    })
    .where(eq(session.id, run.sessionId));
  const { sessionId, promptId } = run;
  if (end.memory)
    await tx.insert(agentMemory).values({ id: Bun.randomUUIDv7(), sessionId, promptId, ...end.memory });
  if (end.provenance)
    await tx.insert(provenance).values({ id: Bun.randomUUIDv7(), sessionId, promptId, ...end.provenance });
  if (end.pushed) await dropUnpushed(tx, sessionId);
  if (dead) await addDeadLetter(tx, run, end);
  if (end.audit) await recordAudit(tx, end.audit);
  await notifySandboxIdle(tx);
  return ended.status as EndStatus | "Queued";
}

const budgetWait = ({ failure, budget, until }: Suspension): Waiting => ({
  ...{ for: "budget", reason: failure.error, since: failure.at, until: until?.toISOString() ?? null, budget },
});

/**
 * Whether this run itself has ended or requeued the prompt, for a runner that did not receive the answer of the database.
 * Had another runner or the cancellation-enforcer done it, the epoch would be higher.
 */
export async function hasReleased(orm: Queryable, run: Fence): Promise<boolean> {
  const rows = await orm
    .select({ id: prompt.id })
    .from(prompt)
    .where(and(eq(prompt.id, run.promptId), eq(prompt.leaseEpoch, run.epoch), ne(prompt.status, "Running")));
  return rows.length > 0;
}

/** After a failure that counts as an attempt: the prompt keeps its place in the session. @throws LeaseLost */
export async function retryRun(tx: Transaction, run: Fence, again: Retry): Promise<void> {
  await requeue(tx, run, promptAfter.runFailed(again), { delayMs: again.delayMs });
}

/** The prompt waits for what its run needs, and keeps its place in the session, but no sandbox. @throws LeaseLost */
export async function postponeRun(tx: Transaction, run: Fence, again: Wait): Promise<void> {
  const waiting = waitingOf(again);
  await requeue(tx, run, promptAfter.runPostponed(again), { delayMs: again.delayMs, waiting });
}

/**
 * The same with its sandbox, for the next runner on this machine; for others, `graceMs` after that. Nobody's slot is taken
 * meanwhile. @throws LeaseLost
 */
export async function parkRun(tx: Transaction, run: Fence, again: Wait, graceMs: number): Promise<void> {
  const { sessionId, cancelled } = await updateHeld(tx, run, promptAfter.runParked(again, DETACHED, graceMs));
  // Its agent is gone: whoever answered it would be told that it goes on.
  await cancelQuestions(tx, [run.promptId]);
  await tx
    .update(session)
    .set(sessionAfter.runParked(waitingOf(again)))
    .where(eq(session.id, sessionId));
  await dispatch(tx, run.promptId, cancelled ? 0 : again.delayMs);
}

/** Requeues a running prompt, for another process to start over. @throws LeaseLost */
export async function handOverRun(tx: Transaction, run: Fence): Promise<void> {
  await requeue(tx, run, promptAfter.runHandedOver());
}

/**
 * Leaves a running agent to the next runner on this machine, which may claim it at once; other machines after `graceMs`.
 * @throws LeaseLost
 */
export async function detachRun(tx: Transaction, run: Fence, graceMs: number): Promise<void> {
  await updateHeld(tx, run, {
    leaseOwner: DETACHED,
    process: withoutStalls,
    leaseExpiresAt: sql`now() + ${graceMs}::int * interval '1 millisecond'`,
    updatedAt: sql`now()`,
  });
  await dispatch(tx, run.promptId);
}

async function requeue(
  tx: Transaction,
  run: Fence,
  change: PromptChange,
  { delayMs = 0, waiting = null }: { delayMs?: number; waiting?: Waiting | null } = {},
): Promise<void> {
  const { sessionId, status } = await updateHeld(tx, run, change);
  await cancelQuestions(tx, [run.promptId]);
  if (status === "Cancelled") {
    await cancelSteers(tx, [run.promptId]);
    return closeCancelledRun(tx, sessionId);
  }
  await tx.update(session).set(sessionAfter.runRequeued(waiting)).where(eq(session.id, sessionId));
  await dispatch(tx, run.promptId, delayMs);
  if (waiting) await notifySandboxIdle(tx);
}

function waitingOf({ waitingFor, failure, outage, delayMs }: Wait): Waiting {
  const until = new Date(Date.parse(failure.at) + delayMs).toISOString();
  return { for: waitingFor, reason: failure.error, since: outage?.since ?? failure.at, until };
}

async function closeCancelledRun(tx: Transaction, sessionId: string): Promise<void> {
  await lockSessionRow(tx, sessionId);
  const next = await dispatchNext(tx, sessionId);
  const end = { status: "Cancelled", waiting: next !== undefined, dead: false } as const;
  await tx.update(session).set(sessionAfter.runEnded(end)).where(eq(session.id, sessionId));
  await notifySandboxIdle(tx);
}

/** What was kept for a push, with the pieces that nothing else names. */
async function dropUnpushed(tx: Transaction, sessionId: string): Promise<void> {
  await tx.execute(sql`
    with gone as (delete from unpushed_work where session_id = ${sessionId}::uuid returning bundle -> 'chunks' as chunks)
    delete from session_chunk c using gone
    where c.session_id = ${sessionId}::uuid and gone.chunks ? c.hash
      and not ${namedByMemory}`);
}

async function addDeadLetter(tx: Transaction, run: ClaimedRun, end: RunEnd): Promise<void> {
  const { promptId, sessionId, userId, repo, branch, attempt } = run;
  const failures = [...run.failures, ...(end.failure ? [end.failure] : [])];
  await tx.insert(deadLetter).values({
    id: Bun.randomUUIDv7(),
    taskType: QUEUES.promptRun,
    entityId: promptId,
    userId,
    kind: end.errorKind ?? "poison",
    entityData: { prompt_id: promptId, session_id: sessionId, repo, branch, failures },
    retryCount: attempt,
    lastError: end.error ?? "",
    firstFailedAt: failures[0] ? new Date(failures[0].at) : sql`now()`,
  });
}
