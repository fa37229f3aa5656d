import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { sql } from "drizzle-orm";
import { type Database, isDatabaseUnavailable, rowsOf } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createDatabase, describeWith } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";

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

  // Without the time limit the row stays locked for as long as the silent process has its connection.
  test("because a transaction is silent frees what it had locked, and its process can go on", async () => {
    const { orm } = database;
    await orm.execute(sql`create table locked (id int primary key)`);
    await orm.execute(sql`insert into locked values (1)`);
    const [has, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const silent = orm
      .transaction(async (tx) => {
        await tx.execute(sql`update locked set id = 1`);
        has.resolve();
        await mayGoOn.promise;
        await tx.execute(sql`select 1`);
      })
      .catch((reason: unknown) => reason);
    await has.promise;
    await orm.execute(sql`update locked set id = 2`);
    mayGoOn.resolve();
    expect(isDatabaseUnavailable(await silent)).toBe(true);
    expect(await rowsOf<{ id: number }>(orm, sql`select id from locked`)).toEqual([{ id: 2 }]);
  });

  test("because its machine has gone is noticed within half a minute, on the queue's connections, too", async () => {
    const queue = database.queuePool();
    for (const [name, value] of [
      ["tcp_keepalives_idle", "10"],
      ["tcp_keepalives_interval", "5"],
      ["tcp_keepalives_count", "3"],
      ["tcp_user_timeout", "25000"],
    ] as const) {
      expect(await rowsOf(database.orm, sql`select current_setting(${name}) as value`)).toEqual([{ value }]);
      const { rows } = await queue.query("select current_setting($1) as value", [name]);
      expect(rows).toEqual([{ value }]);
    }
    const { rows } = await queue.query("show idle_in_transaction_session_timeout");
    expect(rows).toEqual([{ idle_in_transaction_session_timeout: "10s" }]);
    expect((await queue.query("show search_path")).rows).toEqual([{ search_path: "bullmq" }]);
  });

  // Found by chaos: the driver asked each connection for types first, and nobody handled that this failed.
  test("at whatever it says first does not end the process", async () => {
    await using proxy = openProxy(server.url);
    const logger = createLogger({ level: "silent" });
    const opened = await openPostgres({ url: proxy.url, poolMax: 1, logger });
    const select = () => rowsOf<{ one: number }>(opened.orm, sql`select 1 as one`);
    for (const packet of [1, 2, 3, 4, 5]) {
      proxy.cut({ nextAtPacket: packet });
      const again = () =>
        select().catch((error: unknown) => {
          expect(isDatabaseUnavailable(error)).toBe(true);
          return undefined;
        });
      await until(again, { what: `an answer after a reset at packet ${packet}` });
      expect(proxy.pending()).toBe(false);
    }
    await opened.close();
  });
});

/** Before a server. */
function openProxy(url: string) {
  const target = new URL(url);
  const clients = new Set<Socket>();
  let cutAt: number | undefined;
  const listener = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    const mine = cutAt;
    cutAt = undefined;
    let packets = 0;
    clients.add(client);
    client.on("data", (data) => {
      packets += 1;
      if (packets === mine) client.resetAndDestroy();
      else upstream.write(data);
    });
    upstream.pipe(client);
    client.on("error", () => undefined).on("close", () => upstream.destroy());
    upstream.on("error", () => undefined).on("close", () => client.destroy());
  });
  listener.listen(0, "127.0.0.1");
  const through = new URL(url);
  through.host = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return {
    url: through.href,
    /** Ends all connections; the next one is reset when its client has sent so many packets. */
    cut({ nextAtPacket }: { nextAtPacket: number }) {
      cutAt = nextAtPacket;
      for (const client of clients) client.resetAndDestroy();
      clients.clear();
    },
    /** Whether that has not happened yet. */
    pending: () => cutAt !== undefined,
    async [Symbol.asyncDispose]() {
      listener.close();
    },
  };
}
