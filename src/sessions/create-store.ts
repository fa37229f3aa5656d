import { and, eq, sql } from "drizzle-orm";
import type { Transaction } from "../db/client.ts";
import type { Turn } from "../db/columns.ts";
import { session } from "../db/tables.ts";
import { insertPrompt } from "../prompts/store.ts";
import { QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";
import { branchOf, titleOf } from "./naming.ts";
import { lockLine, noSession, ownedBy, requireParent, userTurn } from "./store.ts";

export interface NewSession {
  userId: string;
  repo: string;
  targetBranch: string;
  parent: string | null;
  /** The first prompt, as sent, its text, and its place among the user's prompts. */
  prompt?: { data: unknown; text: string; priority: number } | undefined;
  /** Also promise a better title. */
  wantsTitle: boolean;
  /** The user's quota of prompts that wait or run. */
  maxUnfinished: number;
}

/** Session, first prompt and outbox rows, all or nothing. */
export async function createSession(
  tx: Transaction,
  wanted: NewSession,
): Promise<{ sessionId: string; promptId?: string }> {
  const { userId, repo, targetBranch, parent, prompt: first, wantsTitle, maxUnfinished } = wanted;
  if (parent !== null) await requireParent(tx, userId, parent);
  const sessionId = Bun.randomUUIDv7();
  const promptId = Bun.randomUUIDv7();
  const title = titleOf(first?.text ?? "");
  const messages: Turn[] = first ? [userTurn(first.text, promptId)] : [];
  await tx.insert(session).values({
    id: sessionId,
    userId,
    repo,
    targetBranch,
    parent,
    title,
    branch: branchOf(title),
    messages,
    promptSeq: first ? 1 : 0,
  });
  if (!first) return { sessionId };
  const { data, priority } = first;
  await insertPrompt(tx, { id: promptId, sessionId, userId, seq: 1, data, priority }, maxUnfinished);
  if (wantsTitle)
    await enqueue(tx, { topic: QUEUES.sessionTitle, key: sessionId, payload: { session_id: sessionId } });
  return { sessionId, promptId };
}

export interface NewPrompt {
  userId: string;
  sessionId: string;
  data: unknown;
  text: string;
  priority: number;
  maxUnfinished: number;
}

/** Adds a prompt to a session in whatever state it is: it runs when those before it have ended. */
export async function addPrompt(tx: Transaction, wanted: NewPrompt): Promise<{ id: string }> {
  const { userId, sessionId, data, text, priority, maxUnfinished } = wanted;
  const id = Bun.randomUUIDv7();
  await lockLine(tx, sessionId);
  const [counted] = await tx
    .update(session)
    .set({
      promptSeq: sql`${session.promptSeq} + 1`,
      inboxStatus: sql`case when ${session.inboxStatus} = 'Processing' then 'Processing' else 'Pending' end`,
      sessionStatus: "Active",
      cancellationStatus: null,
      cancelledAt: null,
      cancelledBy: null,
      messages: sql`${session.messages} || ${JSON.stringify([userTurn(text, id)])}::jsonb`,
      updatedAt: sql`now()`,
    })
    .where(and(eq(session.id, sessionId), ownedBy(userId)))
    .returning({ id: session.id, seq: session.promptSeq });
  if (!counted) throw noSession(sessionId);
  await insertPrompt(
    tx,
    { id, sessionId: counted.id, userId, seq: counted.seq, data, priority },
    maxUnfinished,
  );
  return { id };
}
