import { and, asc, eq, isNull } from "drizzle-orm";
import type { Orm, Transaction } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { AppError } from "../errors.ts";
import { QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";

/** A waiting prompt and the promise of its job, in the caller's transaction. */
export async function insertPrompt(
  tx: Transaction,
  row: { id: string; sessionId: string; userId: string; seq: number; data: unknown },
): Promise<void> {
  await tx.insert(prompt).values(row);
  await enqueue(tx, { topic: QUEUES.promptRun, key: row.id, payload: { prompt_id: row.id } });
}

/** A session's prompts in their order. @throws AppError `not_found`, also where it is somebody else's. */
export async function listPrompts(orm: Orm, userId: string, sessionId: string) {
  const rows = await orm
    .select({ prompt })
    .from(session)
    .leftJoin(prompt, eq(prompt.sessionId, session.id))
    .where(and(eq(session.id, sessionId), eq(session.userId, userId), isNull(session.deletedAt)))
    .orderBy(asc(prompt.seq));
  if (rows.length === 0) throw new AppError("not_found", `The session ${sessionId} does not exist.`);
  return rows.flatMap((row) => row.prompt ?? []);
}
