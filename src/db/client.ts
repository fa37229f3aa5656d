import type { PgPool } from "bullmq";
import type { SQL } from "drizzle-orm";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import type * as tables from "./tables.ts";

/** Drizzle on either driver. */
export type Orm = PgDatabase<PgQueryResultHKT, typeof tables>;
export type Transaction = Parameters<Parameters<Orm["transaction"]>[0]>[0];
/** For functions that work inside and outside of a transaction. */
export type Queryable = Orm | Transaction;

/** A database, on either driver. Its opener closes it. */
export interface Database {
  readonly kind: "postgres" | "embedded";
  readonly orm: Orm;
  /**
   * The same, for what means nothing any more once this machine has lost its power: embedded, its commits do not wait for
   * the disk. All else sees them at once, and they outlive the process.
   */
  readonly asyncCommit: Orm;
  /**
   * Calls `onNotify` for each NOTIFY on the channel, and with an empty payload after a reconnect, because notifications may
   * have been lost. @returns, once listening has begun, a function that ends it.
   */
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>;
  /** A pg.Pool for BullMQ, or the equivalent, with `search_path=bullmq`. The database closes it. */
  queuePool(): PgPool;
  /**
   * Runs `work` on a connection of its own, under an advisory lock that excludes other processes.
   * @throws what `signal` aborted with, also while waiting for the lock.
   */
  withAdvisoryLock<T>(lock: bigint, work: (orm: Orm) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /**
   * Whether this process is the leader, for this lock, among the processes on the database. The first to ask leads until it
   * closes, dies or loses its connection; therefore ask each time. Embedded: always true.
   */
  leads(lock: bigint): Promise<boolean>;
  /** Embedded only: grows with each commit of a change; while it stays, the database has nothing new. */
  commits?(): number;
  /**
   * Embedded only: copies a consistent snapshot of the database's files into a new folder, while other queries wait. A
   * database that is started on the copy has exactly what was committed.
   */
  copyFiles?(folder: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the database that the configuration names: PostgreSQL by DATABASE_URL, else an embedded one in DATA_DIR.
 * @param options.onFailure called once, when the embedded one can store nothing any more until this process is restarted.
 * @throws OperatorError when it cannot be reached, or when another process uses the DATA_DIR.
 */
export async function openDatabase(options: {
  config: Config;
  logger: Logger;
  signal?: AbortSignal;
  onFailure?: ((error: Error) => void) | undefined;
}): Promise<Database> {
  if (options.config.databaseUrl === undefined) {
    const { openEmbedded } = await import("./embedded.ts");
    return openEmbedded({ dataDir: options.config.dataDir, onFailure: options.onFailure });
  }
  const { openPostgres } = await import("./postgres.ts");
  return openPostgres({
    url: options.config.databaseUrl.reveal(),
    poolMax: options.config.databasePoolMax,
    logger: options.logger,
    ...(options.signal && { signal: options.signal }),
  });
}

/** The rows of a raw statement, which the drivers wrap differently. Dates are returned as text, and bigints may be. */
export async function rowsOf<Row>(orm: Queryable, statement: SQL): Promise<Row[]> {
  const result: unknown = await orm.execute(statement);
  return (Array.isArray(result) ? result : (result as { rows: Row[] }).rows) as Row[];
}

/** Whether an error reports a violation of this unique index; the drivers report it differently. */
export function isUniqueViolation(error: unknown, index: string): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    const { code, constraint, constraint_name } = one as Record<string, unknown> & Error;
    if (code === "23505") return (constraint ?? constraint_name) === index;
  }
  return false;
}

/** Codes of postgres.js, the system and PostgreSQL for an unavailable server or a broken connection. */
const UNAVAILABLE =
  /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|57P0|08|53300|25P03)/;
/** No such schema, table or column. */
const MISSING = /^(3F000|42P01|42703)$/;
/** Serialization failure and deadlock: PostgreSQL rolled the transaction back because of another one. */
const CONFLICT = /^(40001|40P01)$/;

/** Whether the database was unreachable or the connection broke. The statement may have taken effect. */
export const isDatabaseUnavailable = (error: unknown): boolean => hasCode(error, UNAVAILABLE);

/** Whether the statement named what the database does not have. */
export const isMissing = (error: unknown): boolean => hasCode(error, MISSING);

/** Whether the transaction conflicted with another one. It has had no effect. */
export const isTransactionConflict = (error: unknown): boolean => hasCode(error, CONFLICT);

/** Whether a retry of the transaction may succeed. The transaction may have taken effect already. */
export const isRetryableDbError = (error: unknown): boolean =>
  isDatabaseUnavailable(error) || isTransactionConflict(error);

function hasCode(error: unknown, codes: RegExp): boolean {
  for (let one = error; one instanceof Error; one = one.cause) {
    const { code } = one as { code?: unknown };
    if (typeof code === "string" && codes.test(code)) return true;
  }
  return false;
}
