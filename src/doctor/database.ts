import { existsSync } from "node:fs";
import { join } from "node:path";
import { verifyAudit } from "../audit/seal-store.ts";
import type { ControlStatus } from "../backup/control.ts";
import type { Config } from "../config/config.ts";
import { type Orm, openDatabase } from "../db/client.ts";
import { readDueEffects } from "../db/due-effects.ts";
import { pendingMigrations } from "../db/migrate.ts";
import { type Probe, probe } from "../db/probe.ts";
import { readWaiting, type WaitingCount } from "../db/waiting.ts";
import { type KeptUsage, readKeptUsage } from "../memory/usage-store.ts";
import type { Logger } from "../observability/logger.ts";
import { openSecretKeys, type SecretKeys } from "../projects/keys.ts";
import { sealedWith } from "../projects/run-store.ts";
import { findSigningKey } from "../provenance/key.ts";
import { recentKeyIds } from "../provenance/store.ts";
import { messageOf } from "../shared/errors.ts";
import { MIB } from "../shared/units.ts";
import { checked, type Finding, type Found, fail, ok, warn } from "./finding.ts";

/** A statement that takes longer is slow, in milliseconds: a claim or a heartbeat consists of several. */
const SLOW_MS = 50;
/** Tolerated clock difference, milliseconds. The service itself decides by the database's clock. */
const CLOCK_MS = 2_000;
/** An effect-runner looks every 2 s: what has been due for longer is taken by none, or by too few. Seconds. */
const OVERDUE_S = 300;
/** Entries of the audit log that are verified. */
const NEWEST_ENTRIES = 50_000;
const FIX = "check DATABASE_URL and that PostgreSQL is running; unset it to use the embedded database";

/** Checks the database, its migrations and the clocks. @param options.running the process that uses the embedded database. */
export async function databaseFindings(options: {
  config: Config;
  running: ControlStatus | undefined;
  logger: Logger;
}): Promise<Finding[]> {
  const { config, running, logger } = options;
  if (config.databaseUrl === undefined) {
    const exists = existsSync(join(config.dataDir, "postgres", "PG_VERSION"));
    if (running)
      return [
        {
          check: "database",
          ...ok(
            `embedded, in use by the running service (process ${running.pid}, version ${running.version})`,
          ),
        },
      ];
    if (!exists)
      return [{ check: "database", ...ok(`embedded; the first start will create it in ${config.dataDir}`) }];
  }

  let seen: Probe | undefined;
  let migrations: Found | undefined;
  let audit: Found | undefined;
  let kept: Found | undefined;
  let waiting: Found | undefined;
  let effects: Found | undefined;
  let provenance: Found | undefined;
  let secrets: Found | undefined;
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
          "that process may still be starting, or be a command such as migrate; try again in a moment",
        );
      try {
        seen = await probe(database.orm);
        migrations = await pendingMigrations(database.orm).then(
          (pending) =>
            pending.length === 0
              ? ok("none is pending")
              : warn(`pending: ${pending.join(", ")}`, "restart the service, or run prompt-backend migrate"),
          (error: unknown) =>
            fail(messageOf(error), "run the newer version, or restore a backup from before the upgrade"),
        );
        if (migrations.status === "ok") {
          audit = await auditFound(database.orm);
          kept = keptFound(config, await readKeptUsage(database.orm));
          waiting = waitingFound(await readWaiting(database.orm));
          effects = effectsFound(await readDueEffects(database.orm));
          provenance = provenanceFound(findSigningKey(config)?.id, await recentKeyIds(database.orm));
          secrets = secretsFound(openSecretKeys(config), await sealedWith(database.orm));
        }
      } finally {
        await database.close();
      }
      const { version, latencyMs } = seen;
      const what = `${database.kind === "embedded" ? "embedded " : ""}PostgreSQL ${version}, ${latencyMs.toFixed(1)} ms per statement`;
      return latencyMs < SLOW_MS ? ok(what) : warn(what, "run the service closer to its database");
    },
    { fix: FIX },
  );
  return [
    first,
    ...(migrations ? [{ check: "migrations", ...migrations }] : []),
    ...(audit ? [{ check: "audit log", ...audit }] : []),
    ...(kept ? [{ check: "kept for sessions", ...kept }] : []),
    ...(waiting ? [{ check: "waiting prompts", ...waiting }] : []),
    ...(effects ? [{ check: "effects", ...effects }] : []),
    ...(provenance ? [{ check: "provenance", ...provenance }] : []),
    ...(secrets ? [{ check: "project secrets", ...secrets }] : []),
    ...(seen ? [{ check: "clock", ...clock(seen.offsetMs) }] : []),
  ];
}

/** The chain of the newest entries: all of a large log would take longer than the other checks together. */
async function auditFound(orm: Orm): Promise<Found> {
  const { entries, head, problem } = await verifyAudit(orm, NEWEST_ENTRIES);
  if (problem === undefined)
    return ok(`${entries} entries intact, the last one is ${head.seq} (${head.hash.slice(0, 16)}…)`);
  return fail(
    problem,
    "find out who changed the database by hand; entries before that one are intact, later ones prove nothing",
  );
}

/** What makes sessions independent of their machines, and how much of the database it uses. */
function keptFound(config: Config, { bytes, unpushed, onOneMachine }: KeptUsage): Found {
  const limits = `at most ${config.agentMemoryBytes / MIB} MB of memory (AGENT_MEMORY_MAX_MB) and ${config.unpushedWorkBytes / MIB} MB of unpushed work (UNPUSHED_WORK_MAX_MB) a session`;
  const alone =
    onOneMachine === 0
      ? ""
      : `; of ${onOneMachine} it is too large for the database, and on one machine alone`;
  const work =
    unpushed === 0
      ? "no session has unpushed work"
      : `${unpushed} ${unpushed === 1 ? "session has" : "sessions have"} unpushed work, which POST /sessions/{id}/push delivers${alone}`;
  return ok(`${(bytes / MIB).toFixed(1)} MB in the database, ${limits}; ${work}`);
}

/** What prompts wait for, with the reason of the one that has waited longest. */
function waitingFound(waiting: WaitingCount[]): Found {
  if (waiting.length === 0) return ok("none waits for anything but its turn");
  const each = waiting.map(({ cause, count, reason }) => `${count} for ${cause} (${reason})`);
  return warn(
    each.join("; "),
    "they are tried again by themselves; if the reason is not known to pass, mend it; POST /prompts/{id}/retry tries one at once",
  );
}

/** Whether somebody makes the pull requests and merges that are wanted. */
function effectsFound({ count, seconds }: { count: number; seconds: number }): Found {
  if (seconds < OVERDUE_S) return ok("no pull request or merge is overdue");
  return warn(
    `${count} ${count === 1 ? "pull request or merge is" : "pull requests or merges are"} due, the first for ${Math.round(seconds / 60)} minutes: no process takes them`,
    "let a process run the task effect-runner: prompt-backend bg-tasks runs all, or add it where tasks are named",
  );
}

/** One key signs everything, or whoever verifies must know which machine was at work. @param own undefined: there is none yet. */
function provenanceFound(own: string | undefined, recent: readonly string[]): Found {
  const others = recent.filter((id) => id !== own).map((id) => `${id.slice(0, 16)}…`);
  const whose = own === undefined ? "this machine has no key" : `this machine's key is ${own.slice(0, 16)}…`;
  if (others.length > 0)
    return warn(
      `${whose}, but there are new signatures of ${others.join(", ")}`,
      "give all machines one key (PROVENANCE_KEY); if it was changed on purpose, keep the old public key for what it has signed",
    );
  return ok(own === undefined ? "the first start of a worker will make the key" : `the key is ${own}`);
}

/** Whether this machine can open what projects have, and whether an old key is still needed. */
function secretsFound(keys: SecretKeys, stored: readonly { keyId: string; count: number }[]): Found {
  const all = stored.reduce((sum, { count }) => sum + count, 0);
  if (all === 0) return ok("no project has any");
  const foreign = stored.filter(({ keyId }) => !keys.has(keyId));
  if (foreign.length > 0)
    return fail(
      `${foreign.reduce((sum, { count }) => sum + count, 0)} of ${all} are sealed with keys that this machine does not have: ${foreign.map(({ keyId }) => keyId).join(", ")}`,
      "give all machines one key (SECRETS_KEY), or the old one behind the new one; if it is lost, users have to store their secrets again",
    );
  const old = stored.filter(({ keyId }) => keyId !== keys.current());
  if (old.length > 0)
    return warn(
      `${all} can be opened, but not all are sealed with the newest key yet`,
      "the task retention seals them again within an hour, and what running prompts were given goes with them; keep the old key in SECRETS_KEY until then",
    );
  return ok(`${all}, and one key opens all of them`);
}

function clock(offsetMs: number): Found {
  const seconds = (Math.abs(offsetMs) / 1000).toFixed(1);
  if (Math.abs(offsetMs) < CLOCK_MS) return ok(`${seconds} s off the database's clock`);
  return warn(
    `this machine is ${seconds} s ${offsetMs > 0 ? "ahead of" : "behind"} the database`,
    "synchronize both clocks with NTP: this machine's clock decides when tokens expire",
  );
}
