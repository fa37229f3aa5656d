import { eq, sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../db/client.ts";
import { session } from "../db/tables.ts";

/**
 * The order of locks, which keeps transactions from waiting for each other in a circle:
 *
 * 1. the session's advisory lock (`lockSession`), by whatever the API does to its prompts;
 * 2. its unfinished prompts, the running one first (`lockUnfinished`);
 * 3. the session's row.
 *
 * Runs have no part in 1: they lock their prompt, then the session, then the prompt that is next.
 */

/** Until the transaction ends, nobody else adds, changes, removes, cancels or revives prompts of this session by the API. */
export async function lockSession(tx: Transaction, sessionId: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${sessionId.toLowerCase()}, 0))`);
}

/** The same, and until then none of its prompts starts or ends: first what runs, since its end looks for the next one. */
export async function lockUnfinished(tx: Transaction, sessionId: string): Promise<void> {
  await lockSession(tx, sessionId);
  await rowsOf(
    tx,
    sql`select id from prompt where session_id = ${sessionId}::uuid and status in ('Queued', 'Running')
      order by status = 'Running' desc, seq for no key update`,
  );
}

/** What a transaction reads of the session from here on, follow-ups included, stays true until it ends. */
export async function lockSessionRow(tx: Transaction, sessionId: string): Promise<void> {
  await tx.select({ id: session.id }).from(session).where(eq(session.id, sessionId)).for("update");
}
