import { createHash } from "node:crypto";
import { sql } from "drizzle-orm";
import type { MigrationMeta } from "drizzle-orm/migrator";
import { OperatorError } from "../shared/errors.ts";
import { type Database, isMissing, type Orm, rowsOf } from "./client.ts";
import { migrations } from "./migrations.ts";

/** An arbitrary number that must never change: "prompt-b" in ASCII. */
const LOCK = 0x70726f6d70742d62n;

/** Of BullMQ's schema, as the version that is installed makes it. Any other is left to BullMQ. */
const QUEUE_SCHEMA_VERSION = 11;

/** Drizzle's internal migrator: the public one reads a folder, which an executable does not have. */
interface Migrator {
  dialect: { migrate(list: MigrationMeta[], session: unknown, config: object): Promise<void> };
  session: unknown;
}

/** The tags of the pending migrations. @throws OperatorError when the database is newer than this executable. */
export async function pendingMigrations(orm: Orm): Promise<string[]> {
  const [found] = await rowsOf<{ name: string | null }>(
    orm,
    sql`select to_regclass('drizzle.__drizzle_migrations')::text as name`,
  );
  if (!found?.name) return migrations.map((one) => one.tag);
  const [last] = await rowsOf<{ at: number | string | null }>(
    orm,
    sql`select max(created_at)::text as at from drizzle.__drizzle_migrations`,
  );
  const at = Number(last?.at ?? 0);
  if (at > (migrations.at(-1)?.when ?? 0))
    throw new OperatorError(
      "The database was migrated by a newer prompt-backend than this one. Run that version, or restore a backup made before the upgrade.",
    );
  return migrations.filter((one) => one.when > at).map((one) => one.tag);
}

/**
 * Whether there is nothing to migrate, as nearly every start finds it: by one statement that locks and loads nothing.
 * What is missing here, also a table or a column, is for `migrate` to find out.
 */
async function isUpToDate(orm: Orm, queue: boolean): Promise<boolean> {
  const schema = queue
    ? sql`(select case when bool_and(min_client_version > 0) then max(version) end from bullmq.migration)`
    : sql`null`;
  const [found] = await rowsOf<{ at: string | null; schema: number | null }>(
    orm,
    sql`select (select max(created_at)::text from drizzle.__drizzle_migrations) as at, ${schema}::int as schema`,
  ).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return (
    found !== undefined &&
    Number(found.at) === migrations.at(-1)?.when &&
    (!queue || found.schema === QUEUE_SCHEMA_VERSION)
  );
}

/**
 * Applies the pending migrations, one process at a time; the others wait and then have nothing to do.
 * @param options.queue whether to migrate BullMQ's schema, too: without REDIS_URL.
 * @returns the tags that were applied.
 * @throws OperatorError when the database is newer than this executable; what `signal` aborted with, also while it waits.
 */
export async function migrate(options: {
  database: Database;
  queue: boolean;
  signal?: AbortSignal;
}): Promise<string[]> {
  const { database, queue, signal } = options;
  if (await isUpToDate(database.orm, queue)) return [];
  const work = async (orm: Orm) => {
    const pending = await pendingMigrations(orm);
    if (pending.length > 0) {
      const list = migrations.map((one) => ({
        sql: one.text.split("--> statement-breakpoint"),
        folderMillis: one.when,
        hash: createHash("sha256").update(one.text).digest("hex"),
        bps: true,
      }));
      const { dialect, session } = orm as unknown as Migrator;
      await dialect.migrate(list, session, {});
    }
    signal?.throwIfAborted();
    if (queue) await migrateQueue(database);
    return pending;
  };
  return database.withAdvisoryLock(LOCK, work, signal);
}

async function migrateQueue(database: Database): Promise<void> {
  // Loading it takes as long as connecting to the database.
  const { runMigrations: runQueueMigrations } = await import("bullmq");
  const client = await database.queuePool().connect();
  try {
    await runQueueMigrations(client);
  } finally {
    client.release();
  }
}
