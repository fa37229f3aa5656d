import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import { type Database, isDatabaseUnavailable, rowsOf } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createDatabase, describeWith } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

describeWith("postgres", "a connection that PostgreSQL ends", () => {
  setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
  let server: Awaited<ReturnType<typeof createDatabase>>;
  let database: Database;
  beforeAll(async () => {
    server = await createDatabase();
    database = await openPostgres({ url: server.url, poolMax: 2, logger: createLogger({ level: "silent" }) });
  });
  afterAll(async () => {
    await database.close();
    await server.drop();
  });

  // Found by chaos: the driver wrote to a socket that was gone, and that error, which nobody could catch, ended the service.
  test("in a transaction fails its statements, not the process, and the next one works", async () => {
    const { orm } = database;
    // Each round waited for the connect timeout of 10 s: without the patch the rounds take longer than the test may.
    for (let round = 0; round < 10; round += 1) {
      const cut = orm.transaction(async (tx) => {
        const [backend] = await rowsOf<{ pid: number }>(tx, sql`select pg_backend_pid() as pid`);
        await orm.execute(sql`select pg_terminate_backend(${backend?.pid}::int)`);
        await tx.execute(sql`select 1`).catch(() => undefined);
        await tx.execute(sql`select 1`);
      });
      const error = await cut.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(isDatabaseUnavailable(error)).toBe(true);
      expect(await rowsOf<{ one: number }>(orm, sql`select 1 as one`)).toEqual([{ one: 1 }]);
    }
  });
});
