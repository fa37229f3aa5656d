import { recordNotedActs } from "../audit/noted-acts.ts";
import { sealAudit } from "../audit/seal-store.ts";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { type RunningTask, startLoop } from "./loop.ts";

const INTERVAL_MS = 1_000;
/** Between two heads in the log, milliseconds: what the database's owner could rewrite is then noted elsewhere, too. */
const NOTE_MS = 600_000;

/**
 * Seals the entries of the audit log, in every process that serves or has tasks, whichever tasks were named: they take
 * turns. Before, it records what commands have noted in DATA_DIR.
 */
export function startAuditSealer(options: {
  database: Pick<Database, "orm" | "commits">;
  dataDir: string;
  logger: Logger;
}): RunningTask {
  const { database, dataDir, logger } = options;
  const { orm } = database;
  let notedAt = Number.NEGATIVE_INFINITY;
  /** As of the last look: without another commit there is nothing to seal. */
  let commits: number | undefined;
  const work = async () => {
    await recordNotedActs({ orm, dataDir, logger });
    const now = database.commits?.();
    if (now !== undefined && now === commits) return;
    commits = now;
    for (;;) {
      const sealed = await sealAudit(orm);
      if (!sealed) return;
      if (performance.now() - notedAt >= NOTE_MS) {
        notedAt = performance.now();
        logger.info("audit log sealed", { ...sealed.head });
      }
      if (!sealed.more) return;
    }
  };
  // A start has requests to answer first; with the embedded database they would wait for its statements.
  const loop = startLoop({ name: "audit-sealer", intervalMs: INTERVAL_MS, waitsFirst: true, logger, work });
  return {
    async stop() {
      await loop.stop();
      // What the process itself has recorded while it stopped.
      await work();
    },
  };
}
