import { and, eq, inArray, isNotNull, ne, notInArray, or, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import type { SandboxConfig } from "../db/json-columns.ts";
import { deadLetter, session } from "../db/tables.ts";

const BATCH = 100;
const sandboxId = sql<string>`${session.sbxConfig} ->> 'id'`;

/** The wait after a failed return starts at 2 s and doubles each time, to about 8 min. */
const MOST_DOUBLINGS = 9;
/** The task type of dead letters for sandboxes that could not be returned. */
const RETURN_TASK = "sandbox-return";

/** How many returns fail until this time is over, and the sandbox becomes a dead letter. */
function maxReturns(retryMs: number): number {
  let count = 1;
  for (let waited = 0; waited < retryMs; count += 1) waited += 1000 * 2 ** Math.min(count, MOST_DOUBLINGS);
  return count;
}

/** Instead of a count: no further return is tried, whatever the limit becomes. */
const GIVEN_UP = -1;

/**
 * Sandboxes to return: no prompt of their session is pending or processing, or it waits for what does not answer: it gets
 * another one then.
 */
export async function idleSandboxes(orm: Orm): Promise<{ sessionId: string; config: SandboxConfig }[]> {
  const rows = await orm
    .select({ sessionId: session.id, config: session.sbxConfig })
    .from(session)
    .where(
      and(
        isNotNull(session.sbxConfig),
        or(
          notInArray(session.inboxStatus, ["Pending", "Processing"]),
          and(isNotNull(session.waiting), eq(session.inboxStatus, "Pending")),
        ),
        ne(session.ipReturnRetryCount, GIVEN_UP),
        or(
          eq(session.ipReturnRetryCount, 0),
          sql`${session.updatedAt} < now() - interval '1 second' * power(2, least(${session.ipReturnRetryCount}, ${MOST_DOUBLINGS}::int))`,
        ),
      ),
    )
    .orderBy(session.updatedAt)
    .limit(BATCH);
  return rows.flatMap(({ sessionId, config }) => (config ? [{ sessionId, config }] : []));
}

/** Whether any session holds a sandbox. */
export async function holdsSandboxes(orm: Orm): Promise<boolean> {
  const rows = await orm
    .select({ id: session.id })
    .from(session)
    .where(isNotNull(session.sbxConfig))
    .limit(1);
  return rows.length > 0;
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

/** Records that a sandbox was returned. Changes nothing if the session holds another one by now. */
export async function markReturned(orm: Orm, sessionId: string, config: SandboxConfig): Promise<void> {
  await orm
    .update(session)
    .set({ sbxConfig: null, ipReturnRetryCount: 0, updatedAt: sql`now()` })
    .where(and(eq(session.id, sessionId), eq(sandboxId, config.id)));
}

/**
 * Records a failed return. The last one creates a dead letter, and the sandbox is left alone until that is retried.
 * @param failure.retryMs how long returns are retried: RETRY_TRANSIENT_HOURS.
 * @returns whether this was the last one.
 */
export async function countFailedReturn(
  orm: Orm,
  sessionId: string,
  config: SandboxConfig,
  failure: { error: string; retryMs: number },
): Promise<boolean> {
  const { error, retryMs } = failure;
  return orm.transaction(async (tx) => {
    const held = and(eq(session.id, sessionId), eq(sandboxId, config.id));
    const [row] = await tx
      .update(session)
      .set({ ipReturnRetryCount: sql`${session.ipReturnRetryCount} + 1`, updatedAt: sql`now()` })
      // Another poller may have given it up meanwhile.
      .where(and(held, ne(session.ipReturnRetryCount, GIVEN_UP)))
      .returning({ count: session.ipReturnRetryCount, userId: session.userId });
    if (!row || row.count < maxReturns(retryMs)) return false;
    await tx.update(session).set({ ipReturnRetryCount: GIVEN_UP }).where(held);
    await tx.insert(deadLetter).values({
      id: Bun.randomUUIDv7(),
      taskType: RETURN_TASK,
      entityId: sessionId,
      userId: row.userId,
      kind: "transient",
      entityData: { session_id: sessionId, sandbox: { provider: config.provider, id: config.id } },
      retryCount: row.count,
      lastError: error,
    });
    return true;
  });
}

/**
 * Records that the allocator has a sandbox back: no session holds it any more. The item is identified by its id, or is
 * equal to the config's `item`. A local sandbox stays while a prompt runs in it.
 * @returns the ids of the sessions that held it.
 */
export async function markItemReturned(orm: Orm, item: unknown): Promise<string[]> {
  const id = typeof item === "object" && item !== null && "id" in item ? item.id : item;
  const known =
    typeof id === "string" || typeof id === "number"
      ? sql`${String(id)} in (${session.sbxConfig} ->> 'id', ${session.sbxConfig} -> 'item' ->> 'id')`
      : undefined;
  const whole = sql`${session.sbxConfig} -> 'item' = ${JSON.stringify(item ?? null)}::text::jsonb`;
  const rows = await orm
    .update(session)
    .set({ sbxConfig: null, ipReturnRetryCount: 0, updatedAt: sql`now()` })
    .where(
      and(
        isNotNull(session.sbxConfig),
        or(known, whole),
        or(
          sql`${session.sbxConfig} ->> 'provider' <> 'local'`,
          notInArray(session.inboxStatus, ["Processing"]),
        ),
      ),
    )
    .returning({ id: session.id });
  return rows.map((row) => row.id);
}
