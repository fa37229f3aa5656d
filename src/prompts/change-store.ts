import { and, eq, isNull, sql } from "drizzle-orm";
import { type Orm, rowsOf, type Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { AppError } from "../errors.ts";
import { CHANNELS, QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";
import { lockLine } from "../sessions/store.ts";
import type { PromptRow } from "./store.ts";

const noPrompt = (id: string) => new AppError("not_found", `The prompt ${id} does not exist.`);

/** @throws AppError `not_found`, also where it is somebody else's. */
export async function readPrompt(orm: Orm | Transaction, userId: string, id: string): Promise<PromptRow> {
  const [row] = await orm
    .select({ prompt })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(and(eq(prompt.id, id), eq(session.userId, userId), isNull(session.deletedAt)));
  if (!row) throw noPrompt(id);
  return row.prompt;
}

/** A waiting prompt gets another text, in the conversation too. @throws AppError `not_found`, `conflict` */
export async function updatePrompt(
  orm: Orm,
  wanted: { userId: string; id: string; data: unknown; text: string },
): Promise<void> {
  const { data, text } = wanted;
  await orm.transaction(async (tx) => {
    const { id, sessionId } = await lockWaiting(tx, wanted, "changed");
    await tx.update(prompt).set({ data, updatedAt: sql`now()` }).where(eq(prompt.id, id));
    const turns = sql`select jsonb_agg(case when ${isTurnOf(id)}
        then jsonb_set(turn, '{content}', to_jsonb(${text}::text)) else turn end order by place)
      from jsonb_array_elements(${session.messages}) with ordinality as turns (turn, place)`;
    await tx
      .update(session)
      .set({ messages: sql`coalesce((${turns}), '[]'::jsonb)`, updatedAt: sql`now()` })
      .where(eq(session.id, sessionId));
  });
}

/** A waiting prompt never was: it leaves the line and the conversation. @throws AppError `not_found`, `conflict` */
export async function deletePrompt(orm: Orm, wanted: { userId: string; id: string }): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id, sessionId } = await lockWaiting(tx, wanted, "deleted");
    await tx.delete(prompt).where(eq(prompt.id, id));
    const left = await tx
      .select({ id: prompt.id, status: prompt.status })
      .from(prompt)
      .where(eq(prompt.sessionId, sessionId))
      .orderBy(prompt.seq);
    const running = left.some(({ status }) => status === "Running");
    const next = left.find(({ status }) => status === "Queued");
    // Without unfinished ones the session stands where its newest prompt does; without any, where it began.
    const inboxStatus = running ? "Processing" : next ? "Pending" : newest(left.at(-1)?.status);
    const turns = sql`select jsonb_agg(turn order by place)
      from jsonb_array_elements(${session.messages}) with ordinality as turns (turn, place) where not (${isTurnOf(id)})`;
    await tx
      .update(session)
      .set({ messages: sql`coalesce((${turns}), '[]'::jsonb)`, inboxStatus, updatedAt: sql`now()` })
      .where(eq(session.id, sessionId));
    // The job of the one behind may have come and gone while this one stood before it.
    if (next && !running) {
      await tx.update(prompt).set({ dispatchedAt: sql`now()` }).where(eq(prompt.id, next.id));
      await enqueue(tx, { topic: QUEUES.promptRun, key: next.id, payload: { prompt_id: next.id } });
    }
    if (!next && !running) await tx.execute(sql`select pg_notify(${CHANNELS.sandboxDone}, '')`);
  });
}

const isTurnOf = (promptId: string) => sql`turn ->> 'prompt_id' = ${promptId} and turn ->> 'role' = 'user'`;

function newest(status: PromptRow["status"] | undefined) {
  return status === undefined || status === "Queued" || status === "Running" ? "Pending" : status;
}

/** The prompt, locked with all that waits or runs in its session: nothing of it starts or ends meanwhile. */
async function lockWaiting(
  tx: Transaction,
  { userId, id }: { userId: string; id: string },
  what: string,
): Promise<PromptRow> {
  const { sessionId } = await readPrompt(tx, userId, id);
  await lockUnfinished(tx, sessionId);
  const row = await readPrompt(tx, userId, id);
  if (row.status === "Queued") return row;
  throw new AppError(
    "conflict",
    `The prompt is ${row.status}: it can be ${what} only while it is Queued. Send another prompt, or cancel the session.`,
  );
}

/** Locks as runs do, before their session: first what runs, since its end looks for the one that waits behind it. */
export async function lockUnfinished(tx: Transaction, sessionId: string): Promise<void> {
  await lockLine(tx, sessionId);
  await rowsOf(
    tx,
    sql`select id from prompt where session_id = ${sessionId}::uuid and status in ('Queued', 'Running')
      order by status = 'Running' desc, seq for no key update`,
  );
}
