import { afterAll, beforeAll, describe, setDefaultTimeout } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { and, eq, ne, sql } from "drizzle-orm";
import type { Database, Orm } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { prompt, session } from "../../src/db/tables.ts";
import type { Fence } from "../../src/lifecycle/fence.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { openRunWriter, type RunWriter } from "../../src/runs/writer.ts";
import { openMigrated } from "./embedded.ts";
import { PATIENCE_MS } from "./patience.ts";
import { createDatabase, describeWith } from "./services.ts";

/** The same tests on the embedded database and on PostgreSQL, each with a migrated database of its own. */
export function describeEachDatabase(name: string, body: (database: () => Database) => void): void {
  setDefaultTimeout(PATIENCE_MS);
  const group = (open: () => Promise<{ database: Database; drop: () => Promise<unknown> }>) => () => {
    let opened: Awaited<ReturnType<typeof open>>;
    beforeAll(async () => {
      opened = await open();
    }, 60_000);
    afterAll(async () => {
      await opened.database.close();
      await opened.drop();
    });
    body(() => opened.database);
  };
  describe(
    `${name} (embedded)`,
    group(async () => {
      const dataDir = await mkdtemp(join(tmpdir(), "pb-db-"));
      const database = await openMigrated(dataDir);
      return { database, drop: () => rm(dataDir, { recursive: true, force: true }) };
    }),
  );
  describeWith(
    "postgres",
    `${name} (PostgreSQL)`,
    group(async () => {
      const { url, drop } = await createDatabase();
      return {
        database: await openPostgres({ url, poolMax: 10, logger: createLogger({ level: "silent" }) }),
        drop,
      };
    }),
  );
}

/** A session with prompts that wait, written straight into the tables. */
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

/** Claims this prompt, if its turn can come at all; every other one is kept out of the way meanwhile. */
export async function claimRun(
  orm: Orm,
  promptId: string,
  owner = "me",
  ttlMs = 60_000,
  host = "here",
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
    const limits = { maxRunning: 1_000_000, maxRunningPerUser: 1_000_000 };
    const run = await claimNext(tx, { owner, host, ttlMs, ...limits });
    await tx.update(prompt).set({ notBefore: null }).where(eq(prompt.status, "Queued"));
    return run;
  });
}

/** What a run writes; as long as nobody supersedes it. */
export const writerOf = (orm: Orm, run: Fence): RunWriter =>
  // Only the end of a run needs more of it than the fence.
  openRunWriter({ orm, run: run as ClaimedRun, signal: new AbortController().signal });
