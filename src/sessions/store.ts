import { and, asc, desc, eq, isNull, sql } from "drizzle-orm";
import type { Orm, Transaction } from "../db/client.ts";
import { prompt, session, type Turn } from "../db/tables.ts";
import { AppError } from "../errors.ts";
import { promptText } from "../prompts/prompt-text.ts";
import { insertPrompt } from "../prompts/store.ts";
import { QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";
import { branchOf, titleOf } from "./naming.ts";

/** What a SessionDto is made of. */
export const sessionColumns = {
  id: session.id,
  userId: session.userId,
  repo: session.repo,
  targetBranch: session.targetBranch,
  branch: session.branch,
  title: session.title,
  parent: session.parent,
  inboxStatus: session.inboxStatus,
  sessionStatus: session.sessionStatus,
  sbxConfig: session.sbxConfig,
  cancellationStatus: session.cancellationStatus,
  cancelledAt: session.cancelledAt,
  cancelledBy: session.cancelledBy,
  deletedAt: session.deletedAt,
  createdAt: session.createdAt,
  updatedAt: session.updatedAt,
};

const mine = (userId: string) => and(eq(session.userId, userId), isNull(session.deletedAt));

/** All sessions of a user, newest first, without their conversations. */
export function listSessions(orm: Orm, userId: string) {
  return orm
    .select(sessionColumns)
    .from(session)
    .where(mine(userId))
    .orderBy(desc(session.createdAt), desc(session.id));
}

export type SessionRow = Awaited<ReturnType<typeof listSessions>>[number];

/** @throws AppError `not_found`, also where it is somebody else's. */
export async function readSession(orm: Orm, userId: string, id: string) {
  const [row] = await orm
    .select({ ...sessionColumns, messages: session.messages })
    .from(session)
    .where(and(eq(session.id, id), mine(userId)));
  if (!row) throw noSession(id);
  return row;
}

export interface NewSession {
  userId: string;
  repo: string;
  targetBranch: string;
  parent: string | null;
  /** The first prompt, as sent, and its text. */
  prompt?: { data: unknown; text: string } | undefined;
  /** Also promise a better title. */
  wantsTitle: boolean;
  /** The user's quota of prompts that wait or run. */
  maxUnfinished: number;
}

/** Session, first prompt and outbox rows, all or nothing. */
export async function createSession(
  orm: Orm,
  wanted: NewSession,
): Promise<{ sessionId: string; promptId: string | undefined }> {
  const { userId, repo, targetBranch, parent, prompt: first } = wanted;
  const sessionId = Bun.randomUUIDv7();
  const promptId = first && Bun.randomUUIDv7();
  const title = titleOf(first?.text ?? "");
  await orm.transaction(async (tx) => {
    if (parent !== null) await requireOwn(tx, userId, parent);
    const messages: Turn[] = first && promptId ? [userTurn(first.text, promptId)] : [];
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
    if (!first || !promptId) return;
    await insertPrompt(
      tx,
      { id: promptId, sessionId, userId, seq: 1, data: first.data },
      wanted.maxUnfinished,
    );
    if (wanted.wantsTitle)
      await enqueue(tx, { topic: QUEUES.sessionTitle, key: sessionId, payload: { session_id: sessionId } });
  });
  return { sessionId, promptId };
}

async function requireOwn(tx: Transaction, userId: string, id: string): Promise<void> {
  const [row] = await tx
    .select({ id: session.id })
    .from(session)
    .where(and(eq(session.id, id), mine(userId)));
  if (!row) throw new AppError("not_found", `The parent session ${id} does not exist.`);
}

/** Adds a prompt to a session in whatever state it is: it runs when those before it have ended. @returns its id. */
export async function addPrompt(
  orm: Orm,
  wanted: { userId: string; sessionId: string; data: unknown; text: string; maxUnfinished: number },
): Promise<string> {
  const { userId, sessionId, data, text } = wanted;
  const id = Bun.randomUUIDv7();
  await orm.transaction(async (tx) => {
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
      .where(and(eq(session.id, sessionId), mine(userId)))
      .returning({ seq: session.promptSeq });
    if (!counted) throw noSession(sessionId);
    await insertPrompt(tx, { id, sessionId, userId, seq: counted.seq, data }, wanted.maxUnfinished);
  });
  return id;
}

const noSession = (id: string) => new AppError("not_found", `The session ${id} does not exist.`);

function userTurn(content: string, promptId: string): Turn {
  return { role: "user", content, prompt_id: promptId, at: new Date().toISOString() };
}

/** For the title's task. Undefined where the session is gone. */
export async function firstPromptOf(
  orm: Orm,
  sessionId: string,
): Promise<{ promptText: string; derivedTitle: string } | undefined> {
  const [row] = await orm
    .select({ data: prompt.data })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(eq(prompt.sessionId, sessionId), isNull(session.deletedAt)))
    .orderBy(asc(prompt.seq))
    .limit(1);
  const text = row && promptText(row.data);
  return text === undefined ? undefined : { promptText: text, derivedTitle: titleOf(text) };
}

/** Replaces the derived title, unless somebody has changed it meanwhile. */
export async function setGeneratedTitle(
  orm: Orm,
  sessionId: string,
  change: { from: string; to: string },
): Promise<void> {
  await orm
    .update(session)
    .set({ title: change.to, updatedAt: sql`now()` })
    .where(and(eq(session.id, sessionId), eq(session.title, change.from)));
}
