import { and, eq, sql } from "drizzle-orm";
import type { Orm, Transaction } from "../db/client.ts";
import type { Failure, Turn } from "../db/json-columns.ts";
import { deadLetter, prompt, session } from "../db/tables.ts";
import { CHANNELS, QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";
import { DETACHED } from "./claim-store.ts";
import { type ClaimedRun, type Fence, LeaseLost } from "./run.ts";
import { heldBy } from "./store.ts";

export interface RunEnd {
  status: "Completed" | "Failed" | "Cancelled";
  error: string | null;
  errorKind: Failure["kind"] | null;
  usage: Record<string, number>;
  /** What the assistant's turn in the conversation says. */
  content: string;
  /** Given up: it goes to the dead letters, with its failures as evidence. */
  dead?: boolean;
}

/**
 * Ends the run, tells the session, and sends its next prompt on its way, all or nothing. A run whose user has asked for
 * its end meanwhile ends as Cancelled, whatever else it was. @throws LeaseLost
 */
export async function finishRun(orm: Orm, run: ClaimedRun, end: RunEnd): Promise<void> {
  const status = sql`case when ${prompt.cancelRequestedAt} is null then ${end.status} else 'Cancelled' end`;
  await orm.transaction(async (tx) => {
    const ended = await letGo(tx, run, {
      status,
      error: end.error,
      errorKind: end.errorKind,
      usage: end.usage,
      process: null,
      finishedAt: sql`now()`,
    });
    // Locked before the next prompt is looked for: a follow-up that arrives now waits for us, then sees the end.
    await tx.select({ id: session.id }).from(session).where(eq(session.id, run.sessionId)).for("update");
    const [next] = await tx
      .select({ id: prompt.id })
      .from(prompt)
      .where(and(eq(prompt.sessionId, run.sessionId), eq(prompt.status, "Queued")))
      .orderBy(prompt.seq)
      .limit(1);
    const dead = end.dead === true && ended.status === "Failed";
    const turn: Turn = {
      role: "assistant",
      content: end.content,
      prompt_id: run.promptId,
      at: new Date().toISOString(),
    };
    const requested = sql`${session.cancellationStatus} = 'Requested'`;
    await tx
      .update(session)
      .set({
        inboxStatus: next ? "Pending" : (ended.status as RunEnd["status"]),
        messages: sql`${session.messages} || ${JSON.stringify([turn])}::jsonb`,
        cancelledAt: sql`case when ${requested} then now() else ${session.cancelledAt} end`,
        cancellationStatus: sql`case when ${requested} then 'Cancelled' else ${session.cancellationStatus} end`,
        // Archived stays archived.
        ...(dead &&
          !next && {
            sessionStatus: sql`case when ${session.sessionStatus} = 'Active' then 'Failed' else ${session.sessionStatus} end`,
          }),
        updatedAt: sql`now()`,
      })
      .where(eq(session.id, run.sessionId));
    if (dead) await buryPrompt(tx, run, end);
    if (next) await dispatch(tx, next.id, 0);
    await tx.execute(sql`select pg_notify(${CHANNELS.sandboxDone}, '')`);
  });
}

async function buryPrompt(tx: Transaction, run: ClaimedRun, end: RunEnd): Promise<void> {
  const { promptId, sessionId, userId, repo, branch, attempt, failures } = run;
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

/** After a failure that may pass: the prompt waits, keeping its place in the session. @throws LeaseLost */
export async function postponeRun(
  orm: Orm,
  run: Fence,
  options: { delayMs: number; failure: Failure; countsAsAttempt: boolean },
): Promise<void> {
  const { delayMs, failure, countsAsAttempt } = options;
  await orm.transaction(async (tx) => {
    const { sessionId } = await letGo(tx, run, {
      status: "Queued",
      process: null,
      notBefore: sql`now() + ${Math.ceil(delayMs)}::int * interval '1 millisecond'`,
      error: failure.error,
      errorKind: failure.kind,
      ...(countsAsAttempt
        ? { failures: sql`${prompt.failures} || ${JSON.stringify([failure])}::jsonb` }
        : { attempt: sql`greatest(${prompt.attempt} - 1, 0)` }),
    });
    await backInLine(tx, sessionId);
    await dispatch(tx, run.promptId, delayMs);
  });
}

/** Gives a running prompt back to the line, for another process to start over. @throws LeaseLost */
export async function handOver(orm: Orm, run: Fence): Promise<void> {
  await orm.transaction(async (tx) => {
    const { sessionId } = await letGo(tx, run, {
      status: "Queued",
      process: null,
      attempt: sql`greatest(${prompt.attempt} - 1, 0)`,
    });
    await backInLine(tx, sessionId);
    await dispatch(tx, run.promptId, 0);
  });
}

/**
 * Leaves a running agent to the next runner on this machine, which may have it at once; others after `graceMs`.
 * @throws LeaseLost
 */
export async function detachRun(orm: Orm, run: Fence, graceMs: number): Promise<void> {
  await orm.transaction(async (tx) => {
    const rows = await tx
      .update(prompt)
      .set({
        leaseOwner: DETACHED,
        leaseExpiresAt: sql`now() + ${graceMs}::int * interval '1 millisecond'`,
        updatedAt: sql`now()`,
      })
      .where(heldBy(run))
      .returning({ id: prompt.id });
    if (rows.length === 0) throw new LeaseLost();
    await dispatch(tx, run.promptId, 0);
  });
}

async function letGo(tx: Transaction, run: Fence, change: object) {
  const [ended] = await tx
    .update(prompt)
    .set({ ...change, leaseOwner: null, leaseExpiresAt: null, updatedAt: sql`now()` })
    .where(heldBy(run))
    .returning({ sessionId: prompt.sessionId, status: prompt.status });
  if (!ended) throw new LeaseLost();
  return ended;
}

async function backInLine(tx: Transaction, sessionId: string): Promise<void> {
  await tx
    .update(session)
    .set({ inboxStatus: "Pending", updatedAt: sql`now()` })
    .where(eq(session.id, sessionId));
}

async function dispatch(tx: Transaction, promptId: string, delayMs: number): Promise<void> {
  await tx.update(prompt).set({ dispatchedAt: sql`now()` }).where(eq(prompt.id, promptId));
  await enqueue(tx, { topic: QUEUES.promptRun, key: promptId, payload: { prompt_id: promptId }, delayMs });
}

/** Whether this run has ended the prompt, for a runner whose answer got lost. */
export async function hasFinished(orm: Orm, run: Fence): Promise<boolean> {
  const rows = await orm
    .select({ id: prompt.id })
    .from(prompt)
    .where(
      and(
        eq(prompt.id, run.promptId),
        eq(prompt.leaseEpoch, run.epoch),
        sql`${prompt.finishedAt} is not null`,
      ),
    );
  return rows.length > 0;
}
