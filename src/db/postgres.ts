import type { PgPool } from "bullmq";
import { drizzle } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { unlessAborted } from "../shared/time.ts";
import type { Database, Orm } from "./client.ts";
import { withPreparedStatements } from "./prepare-statements.ts";
import * as tables from "./tables.ts";

const APPLICATION_NAME = "prompt-backend";
const CONNECT_TIMEOUT_S = 10;
/**
 * A machine that loses its power says nothing. What it had locked (a session, the claiming of prompts by all machines, the
 * export of metrics) would be its own until TCP gave up, after two hours; PostgreSQL is told to give up sooner. What a
 * transaction of a stopped process has locked is freed, too. Whoever was only slow gets an error that is retried.
 */
const SILENT_PEER = {
  idle_in_transaction_session_timeout: 10_000,
  tcp_keepalives_idle: 10,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 3,
  // Milliseconds, for data that is not acknowledged; as long as the keepalives take.
  tcp_user_timeout: 25_000,
};
/**
 * Our statements read a few rows by indexes. Where the planner expects more, as it does without their values, PostgreSQL
 * would compile them first: that takes 100 times as long as executing them.
 */
const PLANNING = { jit: "off" };
/** Seconds between attempts to reconnect. The driver's default grows to 20 s, for which every query would wait. */
const backoff = (tries: number) => Math.min(1, 0.05 * 2 ** tries);

/**
 * Connects to PostgreSQL. `poolMax` connections serve our own queries; LISTEN and the queue have others.
 * @throws OperatorError when the server cannot be reached or refuses the connection.
 */
export async function openPostgres(options: {
  url: string;
  poolMax: number;
  logger: Logger;
  signal?: AbortSignal;
}): Promise<Database> {
  const connection = {
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff,
    onnotice: () => undefined,
    // Each connection would begin with a statement of the driver's own, whose failure nobody handles: it ended the process.
    // Only arrays as parameters and results need it.
    fetch_types: false,
    connection: { application_name: APPLICATION_NAME, ...PLANNING, ...SILENT_PEER },
  };
  const client = postgres(options.url, { ...connection, max: options.poolMax });
  try {
    await unlessAborted(client`select 1`, options.signal);
  } catch (error) {
    await client.end({ timeout: 0 });
    options.signal?.throwIfAborted();
    throw new OperatorError(
      `Cannot use the database of DATABASE_URL (${describe(options.url)}): ${reasonOf(error)}`,
      1,
      { cause: error },
    );
  }
  let pool: pg.Pool | undefined;
  let leading: postgres.Sql | undefined;

  const orm = drizzle(withPreparedStatements(client), { schema: tables }) as unknown as Orm;

  return {
    kind: "postgres",
    orm,
    // The server is another machine, which may lose its power while this one goes on.
    asyncCommit: orm,

    async listen(channel, onNotify) {
      let listening = false;
      const { unlisten } = await client.listen(channel, onNotify, () => {
        if (listening) onNotify("");
        listening = true;
      });
      return unlisten;
    },

    queuePool() {
      pool ??= new pg.Pool({
        connectionString: options.url,
        // Each worker keeps a connection for LISTEN; a pool that is too small hangs without an error.
        max: 10,
        options: Object.entries({ search_path: "bullmq", ...PLANNING, ...SILENT_PEER })
          .map(([name, value]) => `-c ${name}=${value}`)
          .join(" "),
        application_name: `${APPLICATION_NAME} queue`,
        keepAlive: true,
        connectionTimeoutMillis: CONNECT_TIMEOUT_S * 1000,
      });
      if (pool.listenerCount("error") === 0)
        pool.on("error", (error) =>
          options.logger.warn("a queue connection was lost", { error: messageOf(error) }),
        );
      return pool as unknown as PgPool;
    },

    async withAdvisoryLock(lock, work, signal) {
      const single = postgres(options.url, { ...connection, max: 1 });
      const locked = single`select pg_advisory_lock(${lock.toString()}::bigint)`;
      // If only the connection were closed, the server would still wait for the lock.
      const cancel = () => locked.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      try {
        await unlessAborted(locked, signal);
        return await unlessAborted(work(drizzle(single, { schema: tables }) as unknown as Orm), signal);
      } finally {
        signal?.removeEventListener("abort", cancel);
        // Closing the connection rolls an aborted transaction back.
        await single.end({ timeout: signal?.aborted ? 1 : 5 });
      }
    },

    async leads(lock) {
      // The lock belongs to its connection, which therefore stays open. Acquiring it again only increments its count; after
      // a lost connection the first process that asks gets it.
      leading ??= postgres(options.url, { ...connection, max: 1, max_lifetime: null });
      const [row] = await leading`select pg_try_advisory_lock(${lock.toString()}::bigint) as held`;
      return row?.["held"] === true;
    },

    async close() {
      await Promise.all([pool?.end(), leading?.end({ timeout: 5 }), client.end({ timeout: 5 })]);
    },
  };
}

/** Has the tables but no connection, for an app that is only described. Every statement fails. */
export const unconnectedOrm = (): Orm => drizzle.mock({ schema: tables }) as unknown as Orm;

/** Host and database of a URL, without user and password. */
function describe(url: string): string {
  const parsed = URL.parse(url);
  return parsed ? `${parsed.hostname}:${parsed.port || "5432"}${parsed.pathname}` : "not a URL";
}

const HINTS: Record<string, string> = {
  ECONNREFUSED: "connection refused. Is PostgreSQL running, and is the port right?",
  ENOTFOUND: "the host name does not exist.",
  CONNECT_TIMEOUT: `no answer within ${CONNECT_TIMEOUT_S} s. Does a firewall block it?`,
  // From PgBouncer, which knows few of the settings that a connection may begin with.
  "08P01":
    "a setting of the connection is refused. Is this PgBouncer? docs/OPERATIONS.md says which settings it must ignore.",
  "28P01": "the password is wrong.",
  "28000": "this user is not allowed to log in.",
  "3D000": "the database does not exist; create it first.",
};

function reasonOf(error: unknown): string {
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  return HINTS[code] ?? messageOf(error);
}
