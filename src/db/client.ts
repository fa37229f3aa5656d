import type { PgPool } from "bullmq";
import type { SQL } from "drizzle-orm";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import type * as tables from "./tables.ts";

/** Drizzle over either driver, as stores use it. */
export type Orm = PgDatabase<PgQueryResultHKT, typeof tables>;
export type Transaction = Parameters<Parameters<Orm["transaction"]>[0]>[0];
/** Where it does not matter whether a statement is alone or part of a transaction. */
export type Queryable = Orm | Transaction;

/** One database, whichever driver carries it. Whoever opened it closes it. */
export interface Database {
  readonly kind: "postgres" | "embedded";
  readonly orm: Orm;
  /**
   * Calls `onNotify` for each NOTIFY on the channel, and once with an empty payload after a reconnect, since notifications
   * may have been lost. Resolves when listening has begun; the result ends it.
   */
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>;
  /** A pg.Pool, or what BullMQ can use as one, with `search_path=bullmq`. The database closes it. */
  queuePool(): PgPool;
  /**
   * Runs `work` alone on one connection, under an advisory lock that other processes respect too.
   * @throws what `signal` aborted with, also while it waits for the lock.
   */
  withAdvisoryLock<T>(lock: bigint, work: (orm: Orm) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /**
   * Whether this process is the leader for something, among all on this database: the first that asks, until it closes,
   * dies or loses its connection. Ask each time. Embedded: always true.
   */
  leads(lock: bigint): Promise<boolean>;
  /**
   * Embedded only: copies a consistent snapshot of the database's files into a new folder. Other queries wait meanwhile. A
   * database that is started on the copy has all that was committed, and nothing else.
   */
  copyFiles?(folder: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the database that the configuration names: PostgreSQL by DATABASE_URL, else an embedded one in DATA_DIR.
 * @throws OperatorError when it cannot be reached, or when another process uses the DATA_DIR.
 */
export async function openDatabase(options: {
  config: Config;
  logger: Logger;
  signal?: AbortSignal;
}): Promise<Database> {
  if (options.config.databaseUrl === undefined) {
    const { openEmbedded } = await import("./embedded.ts");
    return openEmbedded({ dataDir: options.config.dataDir });
  }
  const { openPostgres } = await import("./postgres.ts");
  return openPostgres({
    url: options.config.databaseUrl.reveal(),
    poolMax: options.config.databasePoolMax,
    logger: options.logger,
    ...(options.signal && { signal: options.signal }),
  });
}

/** Rows of a raw statement, which the two drivers wrap differently. Dates come as text, and bigints may. */
export async function rowsOf<Row>(orm: Queryable, statement: SQL): Promise<Row[]> {
  const result: unknown = await orm.execute(statement);
  return (Array.isArray(result) ? result : (result as { rows: Row[] }).rows) as Row[];
}

/** Whether an insert or update violated this unique index, which the drivers report differently. */
export function isUniqueViolation(error: unknown, index: string): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    const { code, constraint, constraint_name } = one as Record<string, unknown> & Error;
    if (code === "23505") return (constraint ?? constraint_name) === index;
  }
  return false;
}

/** Codes of postgres.js, the system and PostgreSQL for a server that is unavailable or a broken connection. */
const UNAVAILABLE =
  /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|57P0|08|53300)/;
/** Serialization failure, deadlock: PostgreSQL rolled the transaction back, because of another one. */
const CONFLICT = /^(40001|40P01)$/;

/** Whether the database could not be reached, or the connection broke: the statement's effect may have happened. */
export const isDatabaseUnavailable = (error: unknown): boolean => hasCode(error, UNAVAILABLE);

/** Whether another transaction was in the way of this one, which has had no effect. */
export const isTransactionConflict = (error: unknown): boolean => hasCode(error, CONFLICT);

/** Whether the same transaction may well work a moment later; its effect may have happened already. */
export const isRetryableDbError = (error: unknown): boolean =>
  isDatabaseUnavailable(error) || isTransactionConflict(error);

function hasCode(error: unknown, codes: RegExp): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    const { code } = one as { code?: unknown };
    if (typeof code === "string" && codes.test(code)) return true;
  }
  return false;
}
