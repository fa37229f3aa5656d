import { chooseAgent } from "../agents/choose.ts";
import { createVerifier } from "../auth/verify.ts";
import { openControl } from "../backup/control.ts";
import type { Config } from "../config/config.ts";
import { openDatabase } from "../db/client.ts";
import { readForScrape } from "../db/deployment-metrics.ts";
import { migrate } from "../db/migrate.ts";
import { expireLeases } from "../lifecycle/dispatch.ts";
import { type Hub, openHub } from "../live/hub.ts";
import type { Logger } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import { openQueue } from "../queue/backend.ts";
import { openRedis } from "../queue/redis.ts";
import { openSandboxes } from "../sandboxes/providers.ts";
import { createApp } from "../server/app.ts";
import { listen } from "../server/listen.ts";
import { metricsApp } from "../server/metrics.ts";
import { createRateLimits } from "../server/rate-limits.ts";
import { withTimeLimit } from "../server/time-limit.ts";
import { startHeartbeat } from "../tasks/heartbeat.ts";
import { TASKS } from "../tasks/index.ts";
import type { TaskName } from "../tasks/names.ts";
import type { TaskContext } from "../tasks/task.ts";
import { createReleaseStack } from "./release-stack.ts";

export interface Service {
  /** Where the server listens; undefined without one. */
  url: string | undefined;
  /** Ends everything in reverse order, each part with a deadline. */
  stop(): Promise<void>;
}

/**
 * The composition root: opens what this process needs, in order; closes it in reverse, also when opening fails halfway.
 * @throws OperatorError when a part cannot be had (database, queue, port).
 */
export async function startService(options: {
  config: Config;
  logger: Logger;
  version: string;
  server: boolean;
  tasks: readonly TaskName[];
  handover: "leave" | "stop";
}): Promise<Service> {
  const { config, logger, version, server, tasks, handover } = options;
  const stack = createReleaseStack(logger);
  try {
    const database = await openDatabase({ config, logger });
    stack.add("database", () => database.close());
    const applied = await migrate({ database, queue: config.redisUrl === undefined });
    if (applied.length > 0) logger.info("database migrated", { applied });
    if (database.kind === "embedded") await expireLeases(database.orm);

    let url: string | undefined;
    if (database.kind === "embedded") {
      const status = () => ({ pid: process.pid, version, url: url ?? null });
      const control = await openControl({ dataDir: config.dataDir, database, status, logger });
      stack.add("control socket", () => control.close());
    }

    let hub: Hub | undefined;
    const metrics = createMetrics({
      version,
      deployment: () => readForScrape(database),
      poolMax: database.kind === "postgres" ? config.databasePoolMax : undefined,
      ...(server && { streams: () => ({ open: hub?.open ?? 0, behindMs: hub?.behindMs ?? 0 }) }),
    });
    if (config.metricsPort !== undefined) {
      const app = metricsApp({ metrics, token: config.metricsToken });
      const listening = await listen({ app, host: config.host, port: config.metricsPort });
      logger.info("metrics server listening", { url: `${listening.url}/metrics` });
      stack.add("metrics", () => listening.stop());
    }

    const { agent, why, missing } = chooseAgent({ config });
    const sandboxes = await openSandboxes({ config, logger });
    if (tasks.includes("prompt-runner")) {
      logger.info(why);
      if (missing) logger.warn(missing);
      if (!sandboxes.isolation.isolated)
        logger.warn(`AGENTS RUN WITHOUT ISOLATION: ${sandboxes.isolation.detail}`);
    }

    if (server) {
      const redis = config.redisUrl === undefined ? undefined : openRedis(config.redisUrl.reveal(), logger);
      if (redis) stack.add("Redis", async () => redis.disconnect());
      const live = await openHub({ database, logger });
      hub = live;
      stack.add("live hub", () => live.close());
      const app = createApp({
        database,
        config,
        hub: live,
        metrics,
        verifier: createVerifier({ config: config.auth, dataDir: config.dataDir, logger }),
        health: () => ({
          version,
          agent: agent.name,
          isolation: sandboxes.isolation,
          database: database.kind,
          queue: config.redisUrl === undefined ? database.kind : "redis",
        }),
        queueAlive: redis && (() => redis.ping()),
        limits: createRateLimits({ config, database, redis, logger }),
        logger,
        version,
      });
      const listening = await listen({
        app: withTimeLimit({ app, config, logger }),
        host: config.host,
        port: config.port,
      });
      url = listening.url;
      stack.add("HTTP server", () => listening.stop());
      // Before the server: it waits for open streams.
      stack.add("live streams", async () => live.endStreams());
    }

    if (tasks.length > 0) {
      const queue = await openQueue({ redisUrl: config.redisUrl?.reveal(), database, metrics, logger });
      stack.add("queue", () => queue.close());
      const { anthropicBaseUrl: upstream, anthropicApiKey: apiKey } = config;
      const model = apiKey === undefined ? undefined : { upstream, apiKey };
      const common = { config, handover, database, queue, sandboxes, agent, model };
      const context: TaskContext = { ...common, metrics, logger };
      for (const name of tasks) {
        const task = await TASKS[name](context);
        // A run gets its time to finish, then its time to be handed over.
        stack.add(`task ${name}`, () => task.stop(), config.shutdownTimeoutMs + 15_000);
      }
      const heartbeat = startHeartbeat({ orm: database.orm, tasks, logger });
      stack.add("heartbeat", () => heartbeat.stop());
    }
    return { url, stop: () => stack.release() };
  } catch (error) {
    await stack.release();
    throw error;
  }
}
