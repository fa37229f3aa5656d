import type { Config } from "../config/config.ts";
import { openDatabase } from "../db/client.ts";
import { migrate, pendingMigrations } from "../db/migrate.ts";
import type { Logger } from "../observability/logger.ts";

/** Applies the pending migrations, or only lists them with `check`. @returns the exit code: 1 if `check` finds any. */
export async function runMigrate(options: {
  config: Config;
  logger: Logger;
  check: boolean;
  print: (line: string) => void;
}): Promise<number> {
  const { config, logger, check, print } = options;
  const database = await openDatabase({ config, logger });
  try {
    if (check) {
      const pending = await pendingMigrations(database.orm);
      print(pending.length > 0 ? `pending: ${pending.join(", ")}` : "The database is up to date.");
      return pending.length > 0 ? 1 : 0;
    }
    const applied = await migrate({ database, queue: config.redisUrl === undefined });
    print(applied.length > 0 ? `applied: ${applied.join(", ")}` : "The database is up to date.");
    return 0;
  } finally {
    await database.close();
  }
}
