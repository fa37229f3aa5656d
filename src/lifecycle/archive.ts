import { eq } from "drizzle-orm";
import type { Transaction } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { sessionAfter } from "./transitions.ts";

/** Archives a session. Running and waiting prompts continue. The caller has checked the owner. */
export async function archiveSession(tx: Transaction, id: string): Promise<void> {
  await tx.update(session).set(sessionAfter.archived).where(eq(session.id, id));
}

/** Takes a session out of the archive. The caller has checked the owner. */
export async function reopenSession(tx: Transaction, id: string): Promise<void> {
  await tx.update(session).set(sessionAfter.reopened).where(eq(session.id, id));
}
