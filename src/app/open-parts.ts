import { setImmediate } from "node:timers/promises";
import { type AgentCatalog, createAgentCatalog } from "../agents/catalog.ts";
import { type ControlStatus, openControl } from "../backup/control.ts";
import type { Config } from "../config/config.ts";
import { type Database, openDatabase } from "../db/client.ts";
import { readForScrape } from "../db/deployment-metrics.ts";
import { freeReserve, keepReserve } from "../db/disk-reserve.ts";
import { migrate } from "../db/migrate.ts";
import { closeDataDir } from "../db/private-data-dir.ts";
import { type Forges, openForges } from "../forges/open-forges.ts";
import { expireLeases } from "../lifecycle/dispatch.ts";
import { type Hub, openHub } from "../live/hub.ts";
import type { Logger } from "../observability/logger.ts";
import { createMetrics, type Metrics } from "../observability/metrics.ts";
import { openSandboxes } from "../sandboxes/providers.ts";
import type { SandboxProvider } from "../sandboxes/sandbox.ts";
import { listen } from "../server/listen.ts";
import { metricsApp } from "../server/metrics.ts";
import { unlessAborted } from "../shared/time.ts";
import type { TaskName } from "../tasks/names.ts";
import type { ReleaseStack } from "./release-stack.ts";

export interface ServiceOptions {
  config: Config;
  logger: Logger;
  version: string;
  server: boolean;
  tasks: readonly TaskName[];
  /** What a shutdown does with running agents: leaves them to the next process on this machine, or stops them. */
  handover: "leave" | "stop";
  /** Aborts the start-up. */
  signal: AbortSignal;
  /** Called once, when this process can do nothing any more but end. */
  onFatal?: ((error: Error) => void) | undefined;
}

/** What the server and the tasks of one process share. */
export interface Parts {
  database: Database;
  /** Undefined without a server. */
  hub: Hub | undefined;
  metrics: Metrics;
  agents: AgentCatalog;
  /**
   * Opened when first asked for, and by `startService` at the latest: that takes programs and hundreds of files, which
   * most requests do not need.
   */
  sandboxes: () => Promise<SandboxProvider>;
  forges: Forges;
  /** What other commands on this DATA_DIR are told; its `url` is set once the server listens. */
  status: ControlStatus;
}

/** Opens what every process needs, in order, and puts each part on the stack. */
export async function openParts(options: ServiceOptions, stack: ReleaseStack): Promise<Parts> {
  const { config, logger, version, server, tasks, signal } = options;
  closeDataDir({ dataDir: config.dataDir, logger });
  if (config.databaseUrl === undefined) freeReserve({ dataDir: config.dataDir, logger });
  const database = await openDatabase({ config, logger, signal, onFailure: options.onFatal });
  stack.add("database", () => database.close());
  await checkpoint(signal);
  const applied = await migrate({ database, queue: config.redisUrl === undefined, signal });
  if (applied.length > 0) logger.info("database migrated", { applied });
  await checkpoint(signal);

  const status: ControlStatus = { pid: process.pid, version, url: null };
  if (database.kind === "embedded") {
    const reserve = keepReserve({ dataDir: config.dataDir, path: config.path });
    stack.add("disk reserve", async () => reserve.stop());
    // This is the only process on the database, so that whoever held a lease is gone.
    await expireLeases(database.orm);
    const control = await openControl({ dataDir: config.dataDir, database, status: () => status, logger });
    stack.add("control socket", () => control.close());
  }

  const hub = server ? await unlessAborted(openHub({ database, logger }), signal) : undefined;
  if (hub) stack.add("live hub", () => hub.close());
  const metrics = createMetrics({
    version,
    deployment: () => readForScrape(database),
    poolMax: database.kind === "postgres" ? config.databasePoolMax : undefined,
    ...(hub && { streams: () => ({ open: hub.open, behindMs: hub.behindMs }) }),
  });
  if (config.metricsPort !== undefined) {
    const app = metricsApp({ metrics, token: config.metricsToken });
    const listening = await listen({ app, host: config.host, port: config.metricsPort });
    stack.add("metrics server", () => listening.stop());
    logger.info("metrics server listening", { url: `${listening.url}/metrics` });
  }

  const agents = createAgentCatalog({ config, version });
  if (tasks.includes("prompt-runner")) {
    logger.info(agents.why);
    if (agents.missing) logger.warn(agents.missing);
  }
  let opened: Promise<SandboxProvider> | undefined;
  const sandboxes = () => {
    opened ??= unlessAborted(openSandboxes({ config, logger }), signal);
    return opened;
  };
  const forges = openForges(config.forges);
  return { database, hub, metrics, agents, sandboxes, forges, status };
}

/** Ends the start-up if it was aborted; a signal that arrived while the event loop was busy is handled first. */
async function checkpoint(signal: AbortSignal): Promise<void> {
  await setImmediate();
  signal.throwIfAborted();
}
