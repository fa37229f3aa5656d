import { afterAll, beforeAll, describe, setDefaultTimeout } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Database } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { databaseFolder } from "./database-folder.ts";
import { openMigrated } from "./embedded.ts";
import { createDatabase, describeWith } from "./services.ts";
import { SLOW_TEST_TIMEOUT_MS, TEST_TIMEOUT_MS } from "./timeouts.ts";

type Body = (database: () => Database) => void;

/** Runs the same tests on the embedded database and on PostgreSQL, each time with a migrated database of their own. */
export function describeEachDatabase(name: string, body: Body): void {
  setDefaultTimeout(TEST_TIMEOUT_MS);
  describeEmbedded(`${name} (embedded)`, body);
  describeOnPostgres(`${name} (PostgreSQL)`, body);
}

/** Runs tests on the embedded database alone, where it makes no difference, with a migrated one of their own. */
export function describeEmbedded(name: string, body: Body): void {
  describe(
    name,
    group(body, async () => {
      const dataDir = await mkdtemp(join(databaseFolder(), "pb-db-"));
      const database = await openMigrated(dataDir);
      return { database, drop: () => rm(dataDir, { recursive: true, force: true }) };
    }),
  );
}

/** Runs tests on PostgreSQL alone, with a migrated database of their own. */
export function describeOnPostgres(name: string, body: Body): void {
  describeWith(
    "postgres",
    name,
    group(body, async () => {
      const { url, drop } = await createDatabase();
      return {
        database: await openPostgres({ url, poolMax: 10, logger: createLogger({ level: "silent" }) }),
        drop,
      };
    }),
  );
}

const group =
  (body: Body, open: () => Promise<{ database: Database; drop: () => Promise<unknown> }>) => () => {
    let opened: Awaited<ReturnType<typeof open>>;
    beforeAll(async () => {
      opened = await open();
    }, SLOW_TEST_TIMEOUT_MS);
    afterAll(async () => {
      await opened.database.close();
      await opened.drop();
    });
    body(() => opened.database);
  };
