import { and, asc, eq, isNull } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { message, prompt, session } from "../db/tables.ts";
import { AppError } from "../errors.ts";

export type MessageRow = typeof message.$inferSelect;

/** A prompt's messages in their order. @throws AppError `not_found`, also where it is somebody else's. */
export async function listMessages(orm: Orm, userId: string, promptId: string) {
  const rows = await orm
    .select({ message })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .leftJoin(message, eq(message.promptId, prompt.id))
    .where(and(eq(prompt.id, promptId), eq(session.userId, userId), isNull(session.deletedAt)))
    .orderBy(asc(message.seq));
  if (rows.length === 0) throw new AppError("not_found", `The prompt ${promptId} does not exist.`);
  return rows.flatMap((row) => row.message ?? []);
}
