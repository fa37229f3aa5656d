import { hostname } from "node:os";
import { settingsOf } from "../config/config.ts";
import { recordAudit } from "../db/audit-log.ts";
import { withTimeout } from "../shared/time.ts";
import { startAuditSealer } from "../tasks/audit-sealer.ts";
import { openParts, type ServiceOptions } from "./open-parts.ts";
import { createReleaseStack } from "./release-stack.ts";
import { startServer } from "./start-server.ts";

/** How long a shutdown waits until its entry in the audit log is stored, milliseconds. */
const STOP_NOTE_MS = 2_000;

export interface Service {
  /** Where the server listens; undefined without one. */
  url: string | undefined;
  /** Closes everything in reverse order, each part within a deadline. */
  stop(): Promise<void>;
}

/**
 * The composition root: opens what this process needs, in order, and closes it in reverse, also when opening fails halfway.
 * @throws OperatorError when a part cannot be opened (database, queue, port); what `signal` aborted with.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const stack = createReleaseStack(options.logger);
  try {
    const parts = await openParts(options, stack);
    const { hub, status, database } = parts;
    const { version, server, tasks, config } = options;
    const service = { actor: "service", target: `process:${hostname()}:${process.pid}` };
    await recordAudit(database.orm, {
      ...service,
      action: "service.start",
      detail: { version, server, tasks, settings: settingsOf(config) },
    });
    const { dataDir } = config;
    const sealer = startAuditSealer({ database, dataDir, logger: options.logger });
    stack.add("audit sealer", () => sealer.stop());
    if (hub) status.url = await startServer(options, { ...parts, hub }, stack);
    // Before the tasks, whose modules take as long to load as it takes until the server listens.
    await parts.sandboxes();
    if (options.tasks.length > 0) await (await import("./start-tasks.ts")).startTasks(options, parts, stack);
    options.signal.throwIfAborted();
    return {
      url: status.url ?? undefined,
      async stop() {
        // First, so that the sealer still seals it. Not waited for longer than a part may take to close.
        const noted = recordAudit(database.orm, { ...service, action: "service.stop" });
        await withTimeout(STOP_NOTE_MS, noted, "no answer").catch(() => undefined);
        await stack.release();
      },
    };
  } catch (error) {
    await stack.release();
    throw error;
  }
}
