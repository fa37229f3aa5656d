import { and, eq, ne, sql } from "drizzle-orm";
import type { Orm, Queryable, Transaction } from "../db/client.ts";
import { message, prompt, session } from "../db/tables.ts";
import { lockUnfinished } from "../lifecycle/locks.ts";
import { ownedSession, readOwnPrompt } from "../lifecycle/ownership.ts";
import { AppError, notFound } from "../shared/errors.ts";
import type { MessageRow } from "./store.ts";

interface Wanted {
  userId: string;
  id: string;
}

/** JSON null is a value, which Drizzle would make SQL's null. */
const json = (data: unknown) => sql`${JSON.stringify(data ?? null)}::jsonb`;

/** @throws AppError `not_found`, also where it is somebody else's. */
export async function readMessage(orm: Queryable, { userId, id }: Wanted): Promise<MessageRow> {
  const [row] = await orm
    .select({ message })
    .from(message)
    .innerJoin(session, eq(session.id, message.sessionId))
    .where(and(eq(message.id, id), ownedSession(userId)));
  if (!row) throw notFound("message", id);
  return row.message;
}

/** Appends a message to a prompt that does not run, numbered as runs number theirs. @throws AppError `not_found`, `conflict` */
export async function createMessage(
  tx: Transaction,
  wanted: { userId: string; promptId: string; data: unknown },
): Promise<{ id: string }> {
  const { userId, promptId, data } = wanted;
  const owner = await readOwnPrompt(tx, userId, promptId);
  // Also those that wait: this locks the session next, as the end of a run does before it looks at them.
  await lockUnfinished(tx, owner.sessionId);
  await lockResting(tx, owner.id);
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
    data: json(data),
  });
  return { id };
}

/** @throws AppError `not_found`, `conflict` while its prompt runs. */
export async function updateMessage(orm: Orm, wanted: Wanted & { data: unknown }): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id, promptId } = await readMessage(tx, wanted);
    await lockResting(tx, promptId);
    await requireOwnUuid(tx, promptId, wanted.data, id);
    await tx
      .update(message)
      .set({ data: json(wanted.data), updatedAt: sql`now()` })
      .where(eq(message.id, id));
  });
}

/** Its number is not given out again. @throws AppError `not_found`, `conflict` while its prompt runs. */
export async function deleteMessage(orm: Orm, wanted: Wanted): Promise<void> {
  await orm.transaction(async (tx) => {
    const { id, promptId } = await readMessage(tx, wanted);
    await lockResting(tx, promptId);
    await tx.delete(message).where(eq(message.id, id));
  });
}

/** Until the transaction ends, the prompt does not start. @throws AppError `not_found` where it was deleted meanwhile. */
async function lockResting(tx: Transaction, promptId: string): Promise<void> {
  const [row] = await tx
    .select({ status: prompt.status })
    .from(prompt)
    .where(eq(prompt.id, promptId))
    .for("no key update");
  if (!row) throw notFound("prompt", promptId);
  if (row.status === "Running")
    throw new AppError(
      "prompt_running",
      "The prompt is running, and its messages are the agent's until it has ended; come again then, or cancel it.",
    );
}

/** Clients that show messages cannot show two with one uuid. */
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
