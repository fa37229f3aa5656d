import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { rowsOf } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createDatabase, describeWith } from "../harness/services.ts";

/** What the driver's only connection has prepared, as far as it is marked. */
const PREPARED = sql`select statement from pg_prepared_statements where statement like '%/* mark %' order by 1`;

describeWith("postgres", "statements on PostgreSQL", () => {
  const withOne = async (work: (orm: Awaited<ReturnType<typeof openPostgres>>["orm"]) => Promise<void>) => {
    const { url, drop } = await createDatabase();
    const database = await openPostgres({ url, poolMax: 1, logger: createLogger({ level: "silent" }) });
    try {
      await work(database.orm);
    } finally {
      await database.close();
      await drop();
    }
  };
  const marked = (n: number, value: number) =>
    sql`select ${value}::int as value ${sql.raw(`/* mark ${n} */`)}`;

  test("are prepared when they come again, also in transactions and savepoints, and answer the same", () =>
    withOne(async (orm) => {
      const values = async (n: number, ...all: number[]) => {
        for (const value of all)
          expect(await rowsOf<{ value: number }>(orm, marked(n, value))).toEqual([{ value }]);
      };
      await values(1, 1, 2, 3);
      await values(2, 1);
      for (const value of [1, 2])
        await orm.transaction(async (tx) => {
          expect(await rowsOf<{ value: number }>(tx, marked(3, value))).toEqual([{ value }]);
          await tx.transaction(async (inner) => {
            expect(await rowsOf<{ value: number }>(inner, marked(4, value))).toEqual([{ value }]);
          });
        });
      const found = await rowsOf<{ statement: string }>(orm, PREPARED);
      expect(found.map(({ statement }) => /mark (\d)/.exec(statement)?.[1])).toEqual(["1", "3", "4"]);
    }));

  test("that never come again, or are too many, do not fill the server's memory", () =>
    withOne(async (orm) => {
      for (let n = 0; n < 600; n += 1) await rowsOf(orm, marked(n, n));
      expect(await rowsOf(orm, PREPARED)).toEqual([]);
      for (let round = 0; round < 2; round += 1)
        for (let n = 0; n < 520; n += 1)
          for (let twice = 0; twice < 2; twice += 1) await rowsOf(orm, marked(n, n));
      expect((await rowsOf(orm, PREPARED)).length).toBe(500);
    }));
});
