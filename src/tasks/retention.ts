import { forgetOldKeys } from "../api/idempotency-store.ts";
import { forgetOldBeats } from "../db/heartbeats.ts";
import { databaseIdentity, PURGE_BATCH } from "../db/purge.ts";
import { forgetOldLimits } from "../db/request-limits.ts";
import { purgeOldMessages } from "../messages/purge-store.ts";
import { forgetPublished } from "../queue/outbox.ts";
import { openGit } from "../sandboxes/git/git.ts";
import { forgetSessions } from "../sandboxes/purge-sessions.ts";
import { doomedSessions, knownSessions, purgeSome } from "../sessions/purge-store.ts";
import { startLoop } from "./loop.ts";
import type { Task, TaskContext } from "./task.ts";

const INTERVAL_MS = 3_600_000;
/** Between two statements, so that a large purge leaves room for others. */
const PAUSE_MS = 50;

/** Removes what is no longer needed, each hour, in small batches. Any number of processes may do so. */
export const retention: Task = async (context) => {
  const shutdown = new AbortController();
  const { logger } = context;
  const work = async () => {
    const removed = await purge(context, shutdown.signal);
    const some = Object.entries(removed).filter(([, count]) => count > 0);
    if (some.length > 0) logger.info("what was no longer needed was removed", Object.fromEntries(some));
  };
  const loop = startLoop({ name: "retention", intervalMs: INTERVAL_MS, logger, work });
  return {
    async stop() {
      shutdown.abort();
      await loop.stop();
    },
  };
};

/** One round. @returns how many of each kind were removed. */
export async function purge(
  context: Pick<TaskContext, "config" | "database" | "logger">,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const { config, database, logger } = context;
  const { orm } = database;
  const { deletedDays, eventsDays } = config.retention;
  const removed: Record<string, number> = {};
  const add = (kind: string, count: number) => {
    removed[kind] = (removed[kind] ?? 0) + count;
    return count;
  };
  const breathe = async () => {
    await Bun.sleep(PAUSE_MS);
    return !signal.aborted;
  };
  const drain = async (kind: string, batch: () => Promise<number>) => {
    while (!signal.aborted && add(kind, await batch()) >= PURGE_BATCH) await breathe();
  };

  await drain("outbox_rows", () => forgetPublished(orm));
  await drain("idempotency_keys", () => forgetOldKeys(orm));
  await drain("request_counts", () => forgetOldLimits(orm));
  await forgetOldBeats(orm);

  if (deletedDays > 0) {
    for (let ids = await doomedSessions(orm, deletedDays); ids.length > 0; ) {
      let rows = 0;
      for (const id of ids)
        for (let some = 1; some > 0 && (await breathe()); rows += some)
          some = add("rows_of_deleted_sessions", await purgeSome(orm, id, deletedDays));
      // Others have locked all of these: the next round.
      if (rows === 0 || signal.aborted) break;
      ids = await doomedSessions(orm, deletedDays);
    }
  }

  if (eventsDays > 0)
    for (let after: string | undefined = ""; after !== undefined && !signal.aborted; ) {
      const page = await purgeOldMessages(orm, { days: eventsDays, after });
      add("events", page.removed);
      after = page.after;
      if (after !== undefined) await breathe();
    }

  // Last: a folder or a git that cannot be used must not keep the database from being tidied.
  if (deletedDays > 0 && !signal.aborted) {
    const { dataDir, path, githubUrl, githubToken } = config;
    const left = await forgetSessions({
      dataDir,
      git: await openGit({ dataDir, path, githubUrl, githubToken }),
      database: await databaseIdentity(orm),
      days: deletedDays,
      known: (ids) => knownSessions(orm, ids),
      logger,
      signal,
    });
    add("conversations", left.conversations);
    add("branches", left.branches);
  }
  return removed;
}
