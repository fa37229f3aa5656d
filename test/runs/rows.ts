import { eq } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { outbox, session } from "../../src/db/tables.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { claimRun } from "../harness/databases.ts";

/** Milliseconds; longer than any test. */
export const TTL = 60_000;
export const OK = {
  status: "Completed",
  error: null,
  errorKind: null,
  usage: { turns: 2 },
  content: "done",
} as const;
export const SANDBOX = {
  provider: "local",
  id: "11111111-1111-4111-8111-111111111111",
  host: "here",
} as const;

/** The run of a prompt that can be had. */
export async function claimIn(database: Database, promptId: string, ttl = TTL): Promise<ClaimedRun> {
  const run = await claimRun(database.orm, promptId, "me", ttl);
  if (!run) throw new Error("not claimed");
  return run;
}

export async function sessionRow(database: Database, id: string) {
  return (await database.orm.select().from(session).where(eq(session.id, id)))[0];
}

export async function outboxKeys(database: Database, key: string) {
  return (await database.orm.select().from(outbox).where(eq(outbox.key, key))).map((row) => row.key);
}
