import { purgeExpiredKeys } from "../api/idempotency-store.ts";
import { purgeAudit } from "../audit/seal-store.ts";
import { purgeOldHeartbeats } from "../db/heartbeats.ts";
import { databaseIdentity, PURGE_BATCH } from "../db/purge.ts";
import { purgeOldRequestCounts } from "../db/request-counts.ts";
import { purgeExpiredTickets } from "../live/ticket-store.ts";
import { FIRST_MEMORY, type OldMemories, purgeOldMemory } from "../memory/purge-store.ts";
import { purgeOldMessages } from "../messages/purge-store.ts";
import { openSecretKeys } from "../projects/keys.ts";
import { purgeRunSecrets, resealSecrets } from "../projects/run-store.ts";
import { knownProjects } from "../projects/store.ts";
import { purgePublished } from "../queue/outbox.ts";
import { knownSessions, purgeableSessions, purgeSession } from "../sessions/purge-store.ts";
import { sleep } from "../shared/time.ts";
import { purgeModelCalls, purgeModelTurns, purgePastSpend } from "../spend/purge-store.ts";
import { purgeUsedCodes, purgeWebSessions } from "../web-sessions/store.ts";
import { purgeOldSignatures } from "../webhooks/store.ts";
import type { TaskContext } from "./task.ts";

/** Between two statements, milliseconds, so that a large purge leaves the database to others. */
const PAUSE_MS = 50;

/**
 * Purges expired data, in small batches.
 * @param signal stops the round between two batches; the next round continues.
 * @returns how many rows or folders of each kind were removed.
 */
export async function purge(
  context: Pick<TaskContext, "config" | "database" | "sandboxes">,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const { config, database, sandboxes } = context;
  const { orm } = database;
  const { auditDays, deletedDays, eventsDays, memoryDays, modelCallsDays } = config.retention;
  const removed: Record<string, number> = {};
  const add = (kind: string, count: number) => {
    removed[kind] = (removed[kind] ?? 0) + count;
    return count;
  };
  const pause = async () => {
    await sleep(PAUSE_MS, signal).catch(() => undefined);
    return !signal.aborted;
  };
  const drain = async (kind: string, batch: () => Promise<number>) => {
    while (!signal.aborted && add(kind, await batch()) >= PURGE_BATCH) await pause();
  };

  await drain("outbox_rows", () => purgePublished(orm));
  await drain("idempotency_keys", () => purgeExpiredKeys(orm));
  await drain("request_counts", () => purgeOldRequestCounts(orm));
  await drain("event_tickets", () => purgeExpiredTickets(orm));
  await drain("web_sessions", () => purgeWebSessions(orm));
  await drain("sign_in_codes", () => purgeUsedCodes(orm));
  await drain("webhook_signatures", () => purgeOldSignatures(orm));
  await purgeOldHeartbeats(orm);
  await drain("secrets_of_ended_runs", () => purgeRunSecrets(orm));
  const keys = openSecretKeys(config);
  add("secrets_sealed_again", await resealSecrets(orm, keys, signal));
  await drain("model_turns", () => purgeModelTurns(orm));
  await drain("spent_budgets", () => purgePastSpend(orm));
  if (modelCallsDays > 0) await drain("model_calls", () => purgeModelCalls(orm, modelCallsDays));
  if (auditDays > 0) await drain("audit_entries", () => purgeAudit(orm, auditDays, PURGE_BATCH));

  if (memoryDays > 0)
    for (let after: OldMemories["after"] = FIRST_MEMORY; after !== undefined && !signal.aborted; ) {
      const page = await purgeOldMemory(orm, { days: memoryDays, after });
      add("agent_memories", page.removed);
      after = page.after;
      if (after !== undefined) await pause();
    }

  if (deletedDays > 0) {
    for (let ids = await purgeableSessions(orm, deletedDays); ids.length > 0; ) {
      let rows = 0;
      for (const id of ids)
        for (let count = 1; count > 0 && (await pause()); rows += count)
          count = add("rows_of_deleted_sessions", await purgeSession(orm, id, deletedDays));
      // Others hold locks on all of these; the next round tries again.
      if (rows === 0 || signal.aborted) break;
      ids = await purgeableSessions(orm, deletedDays);
    }
  }

  if (eventsDays > 0)
    for (let after: string | undefined = ""; after !== undefined && !signal.aborted; ) {
      const page = await purgeOldMessages(orm, { days: eventsDays, after });
      add("events", page.removed);
      after = page.after;
      if (after !== undefined) await pause();
    }

  // Last, so that an unusable folder or git does not keep the database from being purged.
  if (deletedDays > 0 && !signal.aborted) {
    const left = await sandboxes.purge({
      database: await databaseIdentity(orm),
      days: deletedDays,
      known: (ids) => knownSessions(orm, ids),
      signal,
    });
    add("conversations", left.conversations);
    add("branches", left.branches);
  }
  if (!signal.aborted)
    add("prepared_checkouts", await sandboxes.purgePrepared((ids) => knownProjects(orm, ids)));
  return removed;
}
