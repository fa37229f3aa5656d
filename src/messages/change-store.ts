import { and, eq, ne, sql } from "drizzle-orm";
import { requireMatch } from "../api/etag.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Transaction } from "../db/client.ts";
import { message, prompt, session } from "../db/tables.ts";
import { lockUnfinished } from "../lifecycle/locks.ts";
import { readOwnPrompt } from "../lifecycle/ownership.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { readMessage } from "./store.ts";

interface Wanted {
  userId: string;
  id: string;
}

/** JSON null is a value; Drizzle would make it SQL's null. */
const json = (data: unknown) => sql`${JSON.stringify(data ?? null)}::jsonb`;

/** Appends a message to a prompt that does not run. @throws AppError `prompt_not_found`, `prompt_running`, `message_uuid_taken` */
export async function createMessage(
  tx: Transaction,
  wanted: { userId: string; promptId: string; data: unknown },
): Promise<{ id: string }> {
  const { userId, promptId, data } = wanted;
  const owner = await readOwnPrompt(tx, userId, promptId);
  // Waiting prompts too, since the session is locked next (see locks.ts).
  await lockUnfinished(tx, owner.sessionId);
  const { redone } = await lockIdlePrompt(tx, owner.id);
  await requireOwnUuid(tx, owner.id, data);
  const [counted] = await tx
    .update(session)
    .set({ messageSeq: sql`${session.messageSeq} + 1` })
    .where(eq(session.id, owner.sessionId))
    .returning({ seq: session.messageSeq });
  const id = Bun.randomUUIDv7();
  await tx.insert(message).values({
    id,
    promptId: owner.id,
    sessionId: owner.sessionId,
    seq: counted?.seq ?? 0,
    attempt: redone + 1,
    data: json(data),
  });
  await recordAudit(tx, changed(userId, "message.create", { id, promptId: owner.id }));
  return { id };
}

/** @throws AppError `message_not_found`, `prompt_running`, `precondition_failed`, `message_uuid_taken` */
export async function updateMessage(
  orm: Orm,
  wanted: Wanted & { ifMatch: string | null; data: unknown },
): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id } = wanted;
    const { promptId } = await readMessage(tx, { ...wanted, ifNoneMatch: null });
    await lockIdlePrompt(tx, promptId);
    // The lock was waited for: the message may have been changed or deleted since it was read.
    requireMatch(wanted.ifMatch, (await readMessage(tx, { ...wanted, ifNoneMatch: null })).etag);
    await requireOwnUuid(tx, promptId, wanted.data, id);
    await tx
      .update(message)
      .set({ data: json(wanted.data), updatedAt: sql`now()` })
      .where(eq(message.id, id));
    await recordAudit(tx, changed(wanted.userId, "message.update", { id, promptId }));
  });
}

/** Its number is not reused. @throws AppError `message_not_found`, `prompt_running` */
export async function deleteMessage(orm: Orm, wanted: Wanted): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id } = wanted;
    const { promptId } = await readMessage(tx, { ...wanted, ifNoneMatch: null });
    await lockIdlePrompt(tx, promptId);
    await tx.delete(message).where(eq(message.id, id));
    await recordAudit(tx, changed(wanted.userId, "message.delete", { id, promptId }));
  });
}

const changed = (
  actor: string,
  action: "message.create" | "message.update" | "message.delete",
  { id, promptId }: { id: string; promptId: string },
) => ({ actor, action, target: `message:${id}`, detail: { prompt: promptId } });

/** Until the transaction ends, the prompt does not start. @throws AppError `prompt_not_found`, `prompt_running` */
async function lockIdlePrompt(tx: Transaction, promptId: string): Promise<{ redone: number }> {
  const [row] = await tx
    .select({ status: prompt.status, redone: prompt.redone })
    .from(prompt)
    .where(eq(prompt.id, promptId))
    .for("no key update");
  if (!row) throw notFound("prompt", promptId);
  if (row.status === "Running")
    throw new AppError(
      "prompt_running",
      "The prompt is running, and only the agent writes its messages until it has ended; try again then, or cancel it.",
    );
  return row;
}

/** Web clients cannot show two messages with the same uuid. */
async function requireOwnUuid(
  tx: Transaction,
  promptId: string,
  data: unknown,
  except?: string,
): Promise<void> {
  const uuid = typeof data === "object" && data !== null && "uuid" in data ? data.uuid : undefined;
  if (typeof uuid !== "string") return;
  const [other] = await tx
    .select({ id: message.id })
    .from(message)
    .where(
      and(
        eq(message.promptId, promptId),
        sql`${message.data} ->> 'uuid' = ${uuid}`,
        except === undefined ? undefined : ne(message.id, except),
      ),
    )
    .limit(1);
  if (other)
    throw new AppError(
      "message_uuid_taken",
      `data.uuid: another message of this prompt (${other.id}) has this uuid; choose a new one.`,
    );
}
