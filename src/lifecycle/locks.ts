import { eq, sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import { session } from "../db/tables.ts";

/**
 * The lock order, which prevents deadlocks:
 *
 * 1. the session's advisory lock (`lockSession`), taken by API operations on its prompts;
 * 2. its unfinished prompts, the running one first (`lockUnfinished`);
 * 3. the session's row, which each change of a prompt locks as well: a trigger counts it there.
 *
 * Runs do not take lock 1: they lock their prompt, then the session, then the next prompt.
 */

/** Until the transaction ends, no other API request adds, changes, removes, cancels or revives prompts of this session. */
export async function lockSession(tx: Transaction, sessionId: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${sessionId.toLowerCase()}, 0))`);
}

/** In addition, no prompt of the session starts or ends. The running one is locked first: its end reads the next one. */
export async function lockUnfinished(tx: Transaction, sessionId: string): Promise<void> {
  await lockSession(tx, sessionId);
  await rowsOf(
    tx,
    sql`select id from prompt where session_id = ${sessionId}::uuid and status in ('Queued', 'Running')
      order by status = 'Running' desc, seq for no key update`,
  );
}

/** Whatever the transaction reads of the session afterwards, follow-ups included, stays true until it ends. */
export async function lockSessionRow(tx: Transaction, sessionId: string): Promise<void> {
  await tx.select({ id: session.id }).from(session).where(eq(session.id, sessionId)).for("update");
}
