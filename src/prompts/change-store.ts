import { eq, sql } from "drizzle-orm";
import { requireMatch, versionTag } from "../api/etag.ts";
import type { SubmittedPrompt } from "../attachments/read-prompt.ts";
import { replaceAttachments } from "../attachments/store.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { lockOwnPrompt, type PromptRow } from "../lifecycle/ownership.ts";
import { dequeuePrompt } from "../lifecycle/queue-prompt.ts";
import { AppError } from "../shared/errors.ts";
import { purgePromptSpend } from "../spend/purge-store.ts";

/**
 * Changes a waiting prompt, in the conversation too.
 * @throws AppError `prompt_not_found`, `prompt_not_waiting`, `precondition_failed`, `attachment_not_found`
 */
export async function updatePrompt(
  orm: Orm,
  wanted: { userId: string; id: string; ifMatch: string | null } & SubmittedPrompt,
): Promise<void> {
  const { userId, data, text, attachments } = wanted;
  await orm.transaction(async (tx) => {
    const row = await lockWaiting(tx, wanted, "changed");
    requireMatch(wanted.ifMatch, versionTag(row.id, row.version));
    const { id, sessionId, kind } = row;
    if (kind !== "agent")
      throw new AppError(
        "invalid",
        "data: this prompt changes the branch without an agent and has no text for an agent; delete it instead.",
      );
    await tx.update(prompt).set({ data, updatedAt: sql`now()` }).where(eq(prompt.id, id));
    await replaceAttachments(tx, { userId, promptId: id, attachments });
    const turns = sql`select jsonb_agg(case when ${isTurnOf(id)}
        then jsonb_set(turn, '{content}', to_jsonb(${text}::text)) else turn end order by place)
      from jsonb_array_elements(${session.messages}) with ordinality as turns (turn, place)`;
    await tx
      .update(session)
      .set({ messages: sql`coalesce((${turns}), '[]'::jsonb)`, updatedAt: sql`now()` })
      .where(eq(session.id, sessionId));
    await recordAudit(tx, changed(wanted.userId, "prompt.update", { id, sessionId }));
  });
}

/** Deletes a waiting prompt, from the conversation too, with what was answered before it came to wait. @throws AppError `prompt_not_found`, `prompt_not_waiting` */
export async function deletePrompt(orm: Orm, wanted: { userId: string; id: string }): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id, sessionId } = await lockWaiting(tx, wanted, "deleted");
    await dequeuePrompt(tx, { id, sessionId });
    await purgePromptSpend(tx, id);
    const turns = sql`select jsonb_agg(turn order by place)
      from jsonb_array_elements(${session.messages}) with ordinality as turns (turn, place) where turn ->> 'prompt_id' is distinct from ${id}`;
    await tx
      .update(session)
      .set({ messages: sql`coalesce((${turns}), '[]'::jsonb)` })
      .where(eq(session.id, sessionId));
    await recordAudit(tx, changed(wanted.userId, "prompt.delete", { id, sessionId }));
  });
}

const changed = (
  actor: string,
  action: "prompt.update" | "prompt.delete",
  { id, sessionId }: { id: string; sessionId: string },
) => ({ actor, action, target: `prompt:${id}`, detail: { session: sessionId } });

const isTurnOf = (promptId: string) => sql`turn ->> 'prompt_id' = ${promptId} and turn ->> 'role' = 'user'`;

async function lockWaiting(
  tx: Transaction,
  wanted: { userId: string; id: string },
  what: string,
): Promise<PromptRow> {
  const row = await lockOwnPrompt(tx, wanted);
  if (row.status === "Queued") return row;
  throw new AppError(
    "prompt_not_waiting",
    `The prompt is ${row.status}: it can be ${what} only while it is Queued. Send another prompt, or cancel the session.`,
  );
}
