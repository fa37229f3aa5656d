import { AGENT_NAMES } from "../agents/agent.ts";
import { openRefusals } from "../audit/refusals.ts";
import { openSignIns } from "../audit/sign-ins.ts";
import { openLocalIssuer } from "../auth/local-issuer.ts";
import { createVerifier } from "../auth/verify.ts";
import { findSigningKey } from "../provenance/key.ts";
import { openRedis } from "../queue/redis.ts";
import { openRepositories } from "../repositories/repositories.ts";
import type { Stores } from "../review/branches.ts";
import { openReviews } from "../review/reviews.ts";
import { exampleRepository } from "../sandboxes/example-repository.ts";
import type { SandboxProvider } from "../sandboxes/sandbox.ts";
import { createApp } from "../server/app.ts";
import { withCompression } from "../server/compression.ts";
import { replyHeaders } from "../server/headers.ts";
import { listen } from "../server/listen.ts";
import { withMetrics } from "../server/metrics.ts";
import { createRateLimits } from "../server/rate-limits.ts";
import { withTimeLimit } from "../server/time-limit.ts";
import { withWholeReplies } from "../server/whole-replies.ts";
import { messageOf } from "../shared/errors.ts";
import type { Parts, ServiceOptions } from "./open-parts.ts";
import type { ReleaseStack } from "./release-stack.ts";

/**
 * Serves the API and the live streams.
 * @returns the URL that it listens on.
 * @throws OperatorError when the port cannot be used.
 */
export async function startServer(
  { config, logger, version, tasks }: ServiceOptions,
  {
    database,
    metrics,
    agent,
    whyDemo,
    sandboxes: opened,
    forges,
    hub,
  }: Parts & { hub: NonNullable<Parts["hub"]> },
  stack: ReleaseStack,
): Promise<string> {
  const redis = config.redisUrl === undefined ? undefined : openRedis(config.redisUrl.reveal(), logger);
  if (redis) stack.add("Redis", async () => redis.disconnect());
  const signIns = openSignIns({ orm: database.orm, logger });
  stack.add("sign-ins", () => signIns.close());
  const refusals = openRefusals({ orm: database.orm, logger });
  stack.add("refused requests", () => refusals.close());
  const sandboxes: Stores & Pick<SandboxProvider, "branchesOf"> = {
    repositoryFor: async (request) => (await opened()).repositoryFor(request),
    branchesOf: async (...args) => (await opened()).branchesOf(...args),
  };
  const reviews = openReviews({ orm: database.orm, sandboxes });
  stack.add("reviews", () => reviews.close());
  const repositories = openRepositories({ orm: database.orm, config, forges, sandboxes, logger });
  stack.add("repositories", () => repositories.close());
  if (database.kind === "embedded" && config.auth.mode !== "oidc")
    await exampleRepository(config).catch((error: unknown) => {
      logger.warn("the example repository could not be made", { error: messageOf(error) });
    });
  const app = createApp({
    database,
    reviews,
    repositories,
    forges,
    config,
    hub,
    metrics,
    verifier: createVerifier({
      config: config.auth,
      dataDir: config.dataDir,
      logger,
      onSignIn: signIns.record,
    }),
    setup: {
      agent: { name: AGENT_NAMES.find((one) => one === agent.name) ?? "command", reason: whyDemo },
      embedded: database.kind === "embedded",
    },
    localIssuer:
      config.auth.mode === "local"
        ? openLocalIssuer({ dataDir: config.dataDir, audience: config.auth.audience })
        : undefined,
    health: async () => {
      const { isolated, detail } = (await opened()).isolation;
      return {
        version,
        agent: agent.name,
        isolation: { isolated, detail },
        database: database.kind,
        queue: config.redisUrl === undefined ? database.kind : "redis",
      };
    },
    here: async () => {
      const { host, disk, freeBytes } = await opened();
      return {
        uptime_seconds: Math.floor(process.uptime()),
        host,
        tasks: [...tasks],
        sandboxes: {
          provider: config.sandboxProvider,
          disk_limit_bytes: disk.limit,
          disk_limit_enforced: disk.enforced,
          disk_detail: disk.detail,
        },
        disk_free_bytes: await freeBytes().catch(() => null),
      };
    },
    publicKey: () => findSigningKey(config)?.publicKey,
    onRefused: refusals.record,
    queueAlive: redis && (() => redis.ping()),
    // Another process may isolate agents, where this one runs none.
    refusal:
      tasks.includes("prompt-runner") && !agent.builtIn
        ? async () => (await opened()).isolation.refusal()
        : undefined,
    limits: createRateLimits({ config, database, redis, logger }),
    logger,
    version,
  });
  const { url, stop } = await listen({
    app: withWholeReplies(withMetrics(withTimeLimit({ app: withCompression(app), config, logger }), metrics)),
    host: config.host,
    port: config.port,
    headersOf: replyHeaders(config),
  });
  stack.add("HTTP server", stop);
  // Closed before the server, which waits for open streams.
  stack.add("live streams", async () => hub.endStreams());
  return url;
}
