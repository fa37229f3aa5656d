import { sealAudit } from "../audit/seal-store.ts";
import { startLoop } from "./loop.ts";
import type { Task } from "./task.ts";

const INTERVAL_MS = 1_000;
/** Between two heads in the log, milliseconds: what the database's owner could rewrite is then noted elsewhere, too. */
const NOTE_MS = 600_000;

/** Seals the entries of the audit log. Any number of processes may do so; they take turns. */
export const auditSealer: Task = async ({ database, logger }) => {
  let notedAt = Number.NEGATIVE_INFINITY;
  const work = async () => {
    for (;;) {
      const sealed = await sealAudit(database.orm);
      if (!sealed) return;
      if (performance.now() - notedAt >= NOTE_MS) {
        notedAt = performance.now();
        logger.info("audit log sealed", { ...sealed.head });
      }
      if (!sealed.more) return;
    }
  };
  const loop = startLoop({ name: "audit-sealer", intervalMs: INTERVAL_MS, logger, work });
  return {
    async stop() {
      await loop.stop();
      // What the process itself has recorded while it stopped.
      await work();
    },
  };
};
