import { createHash } from "node:crypto";
import { runMigrations as runQueueMigrations } from "bullmq";
import { sql } from "drizzle-orm";
import type { MigrationMeta } from "drizzle-orm/migrator";
import { OperatorError } from "../shared/errors.ts";
import { type Database, type Orm, rowsOf } from "./client.ts";
import { migrations } from "./migrations.ts";

/** An arbitrary number that must never change: "prompt-b" in ASCII. */
const LOCK = 0x70726f6d70742d62n;

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
 * Applies the pending migrations, one process at a time; the others wait and then have nothing to do.
 * @param options.queue whether to migrate BullMQ's schema, too: without REDIS_URL.
 * @returns the tags that were applied.
 * @throws OperatorError when the database is newer than this executable; what `signal` aborted with, also while it waits.
 */
export function migrate(options: {
  database: Database;
  queue: boolean;
  signal?: AbortSignal;
}): Promise<string[]> {
  const { database, queue, signal } = options;
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
  const client = await database.queuePool().connect();
  try {
    await runQueueMigrations(client);
  } finally {
    client.release();
  }
}
