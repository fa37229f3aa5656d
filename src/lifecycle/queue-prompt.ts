import { eq, type SQL, sql } from "drizzle-orm";
import type { Transaction } from "../db/client.ts";
import type { PromptChoice, Turn } from "../db/json-columns.ts";
import { prompt, session } from "../db/tables.ts";
import { canRun } from "../db/worker-agents.ts";
import { notFound } from "../shared/errors.ts";
import { dispatchNext, notifySandboxIdle } from "./dispatch.ts";
import { ownedSessionById } from "./ownership.ts";
import { type SessionChange, sessionAfter } from "./transitions.ts";

/** A session's new prompt, and what there is to go on with. */
interface CountedPrompt {
  sessionId: string;
  repo: string;
  seq: number;
  /** Of the newest prompt before it. */
  choice: PromptChoice | null;
  /** What works on that one, chosen or not. Null: it has not begun. */
  lastAgent: string | null;
  /** The same, if a live worker still has it as its default. */
  usualAgent: string | null;
}

const lastAgent = sql`select p.agent from prompt p
  where p.session_id = ${session.id} and p.kind = 'agent' order by p.seq desc limit 1`;

/**
 * Prepares a session, in any state, for one more prompt: counts it and appends its turn to the conversation. The caller
 * holds the session's lock and inserts the prompt.
 * @throws AppError `session_not_found`
 */
export async function queuePrompt(
  tx: Transaction,
  wanted: { sessionId: string; userId: string; turn: Turn },
): Promise<CountedPrompt> {
  const { sessionId, userId, turn } = wanted;
  const counted = await countPrompt(tx, {
    where: ownedSessionById(userId, sessionId),
    turn,
    change: sessionAfter.promptQueued,
  });
  if (!counted) throw notFound("session", sessionId);
  return counted;
}

/** Counts one more prompt of a session, and appends its turn. @returns undefined if there is no such session. */
export async function countPrompt(
  tx: Transaction,
  { where, turn, change = {} }: { where: SQL | undefined; turn: Turn; change?: SessionChange },
): Promise<CountedPrompt | undefined> {
  const [counted] = await tx
    .update(session)
    .set({
      ...change,
      promptSeq: sql`${session.promptSeq} + 1`,
      messages: sql`${session.messages} || ${JSON.stringify([turn])}::jsonb`,
    })
    .where(where)
    .returning({
      ...{ sessionId: session.id, repo: session.repo, seq: session.promptSeq, choice: session.choice },
      lastAgent: sql<string | null>`(${lastAgent})`,
      usualAgent: sql<string | null>`(select last.agent from (${lastAgent}) last
        where ${canRun(sql`last.agent`, { asDefault: true })})`,
    });
  return counted;
}

/** A prompt as a turn of the conversation. */
export function userTurn(content: string, promptId: string): Turn {
  return { role: "user", content, prompt_id: promptId, at: new Date().toISOString() };
}

/** Deletes a waiting prompt and dispatches the one behind it. The caller holds the locks of `lockUnfinished`. */
export async function dequeuePrompt(
  tx: Transaction,
  { id, sessionId }: { id: string; sessionId: string },
): Promise<void> {
  await tx.delete(prompt).where(eq(prompt.id, id));
  const left = await tx
    .select({ status: prompt.status, waitingFor: prompt.waitingFor })
    .from(prompt)
    .where(eq(prompt.sessionId, sessionId))
    .orderBy(prompt.seq);
  await tx.update(session).set(sessionAfter.promptDeleted(left)).where(eq(session.id, sessionId));
  if (left.some(({ status }) => status === "Running")) return;
  const next = await dispatchNext(tx, sessionId);
  if (next === undefined) await notifySandboxIdle(tx);
}
