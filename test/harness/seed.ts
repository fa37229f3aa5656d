import { and, eq, ne, sql } from "drizzle-orm";
import type { Database, Orm } from "../../src/db/client.ts";
import type { AgentProcess, Failure, LocalConfig } from "../../src/db/json-columns.ts";
import { outbox } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { DETACHED, type RunEnd } from "../../src/lifecycle/end-run.ts";
import type { Fence } from "../../src/lifecycle/fence.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { openRunWriter, type RunWriter } from "../../src/runs/writer.ts";

/** A lease that outlasts every test, milliseconds. */
export const TTL_MS = 60_000;
/** The TTL of a lease that has expired already, for a takeover. */
export const EXPIRED_MS = -1000;
export const COMPLETED = {
  status: "Completed",
  error: null,
  errorKind: null,
  usage: { turns: 2 },
  content: "done",
} as const satisfies RunEnd;
export const FAILURE: Failure = {
  attempt: 1,
  at: new Date(0).toISOString(),
  kind: "transient",
  error: "No net.",
};
export const PROCESS: AgentProcess = { host: "here", id: "p", pid: 1, started: 1, boot: "b" };
export const SANDBOX: LocalConfig = {
  provider: "local",
  id: "11111111-1111-4111-8111-111111111111",
  host: "here",
};

/** A session with waiting prompts, written straight into the tables. */
export async function seedSession(
  database: Database,
  prompts: number,
): Promise<{ sessionId: string; promptIds: string[] }> {
  const sessionId = Bun.randomUUIDv7();
  const promptIds = Array.from({ length: prompts }, () => Bun.randomUUIDv7());
  await database.orm.insert(session).values({
    id: sessionId,
    userId: "alice",
    repo: "owner/name",
    targetBranch: "main",
    branch: `prompt/${sessionId}`,
    title: "A session",
    promptSeq: prompts,
  });
  await database.orm.insert(prompt).values(
    promptIds.map((id, index) => ({
      id,
      sessionId,
      userId: "alice",
      seq: index + 1,
      data: `prompt ${index + 1}`,
    })),
  );
  return { sessionId, promptIds };
}

/** A session with one waiting prompt. */
export async function seedPrompt(database: Database): Promise<{ sessionId: string; promptId: string }> {
  const { sessionId, promptIds } = await seedSession(database, 1);
  return { sessionId, promptId: String(promptIds[0]) };
}

/** A session whose only prompt is claimed. */
export async function seedRun(database: Database, lease?: LeaseOptions): Promise<ClaimedRun> {
  return mustClaim(database, (await seedPrompt(database)).promptId, lease);
}

/** Default: owner `me` on host `here`, for `TTL_MS`. */
export interface LeaseOptions {
  owner?: string;
  ttlMs?: number;
  host?: string;
}

/** Claims this prompt if it may run now; all other prompts are kept from being claimed meanwhile. */
export async function claimRun(
  orm: Orm,
  promptId: string,
  { owner = "me", ttlMs = TTL_MS, host = "here" }: LeaseOptions = {},
): Promise<ClaimedRun | undefined> {
  const later = sql`now() + interval '1 hour'`;
  const other = ne(prompt.id, promptId);
  return orm.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(1)`);
    await tx
      .update(prompt)
      .set({ notBefore: later })
      .where(and(other, eq(prompt.status, "Queued")));
    await tx
      .update(prompt)
      .set({ leaseExpiresAt: later })
      .where(and(other, eq(prompt.status, "Running")));
    // One that was left to the next process is claimed first, whatever its lease.
    const withOwner = (from: string, to: string) =>
      tx
        .update(prompt)
        .set({ leaseOwner: to })
        .where(and(other, eq(prompt.leaseOwner, from)));
    await withOwner(DETACHED, "later");
    const limits = { maxRunning: 1_000_000, maxRunningPerUser: 1_000_000 };
    const run = await claimNext(tx, { owner, host, ttlMs, ...limits });
    await tx.update(prompt).set({ notBefore: null }).where(eq(prompt.status, "Queued"));
    await withOwner("later", DETACHED);
    return run;
  });
}

/** The same. @throws where the prompt may not run now. */
export async function mustClaim(
  database: Database,
  promptId: string,
  lease?: LeaseOptions,
): Promise<ClaimedRun> {
  const run = await claimRun(database.orm, promptId, lease);
  if (!run) throw new Error(`prompt ${promptId} could not be claimed`);
  return run;
}

/** The writer of a run whose lease is never lost without the database saying so. */
export const writerOf = (orm: Orm, run: Fence): RunWriter =>
  // Only `finish` reads more of the run than its fence.
  openRunWriter({ orm, run: run as ClaimedRun, signal: new AbortController().signal });

/** @throws where there is none. */
export async function promptRow({ orm }: Database, id: string) {
  const [row] = await orm.select().from(prompt).where(eq(prompt.id, id));
  if (!row) throw new Error(`there is no prompt ${id}`);
  return row;
}

export async function sessionRow({ orm }: Database, id: string) {
  return (await orm.select().from(session).where(eq(session.id, id)))[0];
}

/** The keys of the outbox rows with this key: as many as there are. */
export async function outboxKeys({ orm }: Database, key: string) {
  return (await orm.select().from(outbox).where(eq(outbox.key, key))).map((row) => row.key);
}
