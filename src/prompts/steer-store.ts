import { and, eq, getTableColumns } from "drizzle-orm";
import type { Page, PageQuery } from "../api/paging.ts";
import type { Author } from "../auth/claims.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Transaction } from "../db/client.ts";
import { steer } from "../db/talk-tables.ts";
import { listOwned } from "../lifecycle/owned-lists.ts";
import { lockOwnPrompt, type PromptRow } from "../lifecycle/ownership.ts";
import { notifyMail } from "../lifecycle/questions.ts";
import { AppError } from "../shared/errors.ts";
import { addPrompt } from "./create-store.ts";
import type { SteerDto } from "./model.ts";

/** What an agent may have to take at once. */
const MOST_PENDING = 20;
/** Of a mailbox's file, UTF-8 of its JSON: a longer text becomes a prompt. */
const MOST_BYTES = 250 * 1024;

export interface Steered {
  delivered: "running" | "queued";
  /** That has it: the running one, or a new one. */
  promptId: string;
  /** Its own. */
  id: string;
}

/**
 * Says something to the agent of a running prompt, if it takes that while it works; otherwise it becomes the session's next
 * prompt, in the same transaction. What the agent has not taken before its end becomes a prompt then.
 * @throws AppError `prompt_not_found`, `steer_limit_reached`, `prompt_quota_reached`
 */
export async function steerPrompt(
  tx: Transaction,
  wanted: { userId: string; author: Author | undefined; id: string; text: string; maxUnfinished: number },
): Promise<Steered> {
  const { userId, author, text, maxUnfinished } = wanted;
  const row = await lockOwnPrompt(tx, wanted);
  const { sessionId, priority } = row;
  const about = { id: Bun.randomUUIDv7(), promptId: row.id, sessionId, text, createdBy: userId };
  const record = (to: Steered["delivered"], promptId: string) =>
    recordAudit(tx, {
      actor: userId,
      action: "prompt.steer",
      target: `prompt:${row.id}`,
      detail: { session: sessionId, delivered: to, prompt: promptId },
    });
  if (takesMessages(row) && Buffer.byteLength(JSON.stringify(text)) <= MOST_BYTES) {
    const pending = await tx.$count(steer, and(eq(steer.promptId, row.id), eq(steer.status, "pending")));
    if (pending >= MOST_PENDING)
      throw new AppError(
        "steer_limit_reached",
        `The agent has not taken ${MOST_PENDING} messages yet. Wait until it has, or send a follow-up prompt.`,
      );
    await tx.insert(steer).values(about);
    await notifyMail(tx, row.id);
    await record("running", row.id);
    return { delivered: "running", promptId: row.id, id: about.id };
  }
  const data = [{ content: text, type: "text" }];
  const { id } = await addPrompt(tx, { userId, author, sessionId, data, text, priority, maxUnfinished });
  await tx.insert(steer).values({ ...about, status: "queued", queuedPromptId: id });
  await record("queued", id);
  return { delivered: "queued", promptId: id, id: about.id };
}

/** Whether the prompt's agent runs, takes messages, and has not given its work away. */
const takesMessages = ({ status, cancelRequestedAt, process }: PromptRow): boolean =>
  status === "Running" &&
  cancelRequestedAt === null &&
  process?.steers === true &&
  process.delivering !== true;

/** What was said to the agent of a prompt, in order. @throws AppError `prompt_not_found`, also where it is another user's. */
export async function listSteers(
  orm: Orm,
  {
    id,
    status,
    ...query
  }: PageQuery & { userId: string; id: string; status?: SteerDto["status"] | undefined },
): Promise<Page<SteerDto>> {
  const { rows, next } = await listOwned(
    orm,
    { ...query, ownerId: id },
    {
      owner: "prompt",
      of: steer.promptId,
      fields: getTableColumns(steer),
      where: status && eq(steer.status, status),
    },
  );
  return { rows: rows.map(toSteerDto), next };
}

const toSteerDto = (row: typeof steer.$inferSelect): SteerDto => ({
  id: row.id,
  prompt_id: row.promptId,
  session_id: row.sessionId,
  text: row.text,
  status: row.status,
  created_by: row.createdBy,
  created_at: row.createdAt.toISOString(),
  delivered_at: row.deliveredAt?.toISOString() ?? null,
  queued_prompt_id: row.queuedPromptId,
});
