import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ControlStatus } from "../backup/control.ts";
import type { Config } from "../config/config.ts";
import { openDatabase } from "../db/client.ts";
import { pendingMigrations } from "../db/migrate.ts";
import { type Probe, probe } from "../db/probe.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { checked, type Finding, type Found, fail, ok, warn } from "./finding.ts";

/** Milliseconds from which a statement is slow: a claim or a heartbeat takes several. */
const SLOW_MS = 50;
/** Milliseconds by which clocks may differ; the service's own decisions are the database's clock's. */
const CLOCK_MS = 2_000;
const FIX = "check DATABASE_URL and that PostgreSQL runs; unset it for the embedded database";

/** The database, its migrations, and the clocks. @param options.running the process that has the embedded one. */
export async function databaseFindings(options: {
  config: Config;
  running: ControlStatus | undefined;
  logger: Logger;
}): Promise<Finding[]> {
  const { config, running, logger } = options;
  if (config.databaseUrl === undefined) {
    const there = existsSync(join(config.dataDir, "postgres", "PG_VERSION"));
    if (running)
      return [
        {
          check: "database",
          ...ok(
            `embedded, in use by the running service (process ${running.pid}, version ${running.version})`,
          ),
        },
      ];
    if (!there)
      return [
        { check: "database", ...ok(`embedded; it will be made in ${config.dataDir} at the first start`) },
      ];
  }

  let seen: Probe | undefined;
  let migrations: Found | undefined;
  const first = await checked(
    "database",
    async () => {
      const database = await openDatabase({ config, logger }).catch((error: unknown) => {
        if (config.databaseUrl === undefined && /in use by another process/.test(messageOf(error)))
          return messageOf(error);
        throw error;
      });
      if (typeof database === "string")
        return warn(
          database,
          "it may still be starting, or be a command such as migrate; try again in a moment",
        );
      try {
        seen = await probe(database.orm);
        migrations = await pendingMigrations(database.orm).then(
          (pending) =>
            pending.length === 0
              ? ok("none is missing")
              : warn(
                  `missing: ${pending.join(", ")}`,
                  "the next start applies them; or run prompt-backend migrate",
                ),
          (error: unknown) => fail(messageOf(error), "run the newer version, or restore an older backup"),
        );
      } finally {
        await database.close();
      }
      const { version, latencyMs } = seen;
      const what = `${database.kind === "embedded" ? "embedded " : ""}PostgreSQL ${version}, ${latencyMs.toFixed(1)} ms a statement`;
      return latencyMs < SLOW_MS ? ok(what) : warn(what, "run the service nearer to its database");
    },
    { fix: FIX },
  );
  return [
    first,
    ...(migrations ? [{ check: "migrations", ...migrations }] : []),
    ...(seen ? [{ check: "clock", ...clock(seen.offsetMs) }] : []),
  ];
}

function clock(offsetMs: number): Found {
  const seconds = (Math.abs(offsetMs) / 1000).toFixed(1);
  if (Math.abs(offsetMs) < CLOCK_MS) return ok(`differs from the database's by ${seconds} s`);
  return warn(
    `this machine is ${seconds} s ${offsetMs > 0 ? "ahead of" : "behind"} the database`,
    "let both take their time from the same servers (NTP): tokens' expiry is judged by this one",
  );
}
