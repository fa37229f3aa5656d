import { and, eq, inArray, isNotNull, notInArray, or, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { session } from "../db/tables.ts";
import type { SandboxConfig } from "./sandbox.ts";

const BATCH = 100;
const sandboxId = sql<string>`${session.sbxConfig} ->> 'id'`;

/** Sandboxes that nobody needs any more: their session is at rest, or deleted. */
export async function idleSandboxes(orm: Orm): Promise<{ sessionId: string; config: SandboxConfig }[]> {
  const rows = await orm
    .select({ sessionId: session.id, config: session.sbxConfig })
    .from(session)
    .where(
      and(
        isNotNull(session.sbxConfig),
        or(notInArray(session.inboxStatus, ["Pending", "Processing"]), isNotNull(session.deletedAt)),
      ),
    )
    .orderBy(session.updatedAt)
    .limit(BATCH);
  return rows.flatMap(({ sessionId, config }) => (config ? [{ sessionId, config }] : []));
}

/** Which of these sandboxes a session still holds. */
export async function heldSandboxes(orm: Orm, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await orm
    .select({ id: sandboxId })
    .from(session)
    .where(and(isNotNull(session.sbxConfig), inArray(sandboxId, [...ids])));
  return new Set(rows.map(({ id }) => id));
}

/** The sandbox is gone. Changes nothing where the session holds another one meanwhile. */
export async function markReturned(orm: Orm, sessionId: string, config: SandboxConfig): Promise<void> {
  await orm
    .update(session)
    .set({ sbxConfig: null, ipReturnRetryCount: 0, updatedAt: sql`now()` })
    .where(and(eq(session.id, sessionId), eq(sandboxId, config.id)));
}

/** It could not be given back this time; it goes to the end of the line. */
export async function countFailedReturn(orm: Orm, sessionId: string, config: SandboxConfig): Promise<void> {
  await orm
    .update(session)
    .set({ ipReturnRetryCount: sql`${session.ipReturnRetryCount} + 1`, updatedAt: sql`now()` })
    .where(and(eq(session.id, sessionId), eq(sandboxId, config.id)));
}
