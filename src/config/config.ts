import { isIP } from "node:net";
import { resolve } from "node:path";
import { LOG_LEVELS } from "../observability/logger.ts";
import { OperatorError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";
import type { AuthConfig, Config } from "./types.ts";
import { commandOf, type Env, readValues } from "./values.ts";

const RESULT_GRACE_MS = 30_000;

export type { AuthConfig, Config, RetentionLimits, RunLimits } from "./types.ts";

/**
 * Reads and checks the environment.
 * @param options.serves this process will listen, so that who may talk to it must be settled. Default true.
 * @throws OperatorError naming every wrong variable at once (exit code 1).
 */
export function readConfig(env: Env = process.env, { serves = true }: { serves?: boolean } = {}): Config {
  const { problems, fail, text, secret, integer, oneOf, url, secretUrl } = readValues(env);

  const databaseUrl = secretUrl("DATABASE_URL", ["postgres:", "postgresql:"]);
  const host = text("HOST") ?? text("ROCKET_ADDRESS") ?? (databaseUrl ? "0.0.0.0" : "127.0.0.1");
  if (!isIP(host) && host !== "localhost")
    fail("HOST", `must be an IP address or localhost, not ${JSON.stringify(host)}`);
  const port = integer(env["PORT"]?.trim() || !env["ROCKET_PORT"]?.trim() ? "PORT" : "ROCKET_PORT", 0, 65535);

  const agent = oneOf("AGENT", ["claude", "command", "demo"]);
  const agentCommand = commandOf(text("AGENT_COMMAND"));
  if (agentCommand === null)
    fail("AGENT_COMMAND", 'must be a JSON array of strings, e.g. ["my-agent","--json"]');
  if (agent === "command" && !agentCommand) fail("AGENT_COMMAND", "is required with AGENT=command");
  if (agent !== "command" && agentCommand)
    fail("AGENT_COMMAND", "is only used with AGENT=command; set that or remove this");
  const sandboxProvider = oneOf("SANDBOX_PROVIDER", ["local", "allocator"]) ?? "local";
  const ipAllocatorUrl = url("IP_ALLOCATOR_URL", ["https:", "http:"]);
  if (sandboxProvider === "allocator" && !ipAllocatorUrl)
    fail("IP_ALLOCATOR_URL", "is required with SANDBOX_PROVIDER=allocator");
  if (sandboxProvider === "allocator" && agent === "demo")
    fail(
      "AGENT",
      "demo works on this machine's sandboxes only; set SANDBOX_PROVIDER=local, or another AGENT",
    );
  const anthropicApiKey = secret("ANTHROPIC_API_KEY");
  if (agent === "claude" && !anthropicApiKey) fail("ANTHROPIC_API_KEY", "is required with AGENT=claude");

  const config: Config = {
    databaseUrl,
    databasePoolMax: integer("DATABASE_POOL_MAX", 2, 1000),
    redisUrl: secretUrl("REDIS_URL", ["redis:", "rediss:"]),
    dataDir: resolve(text("DATA_DIR") ?? "./data"),
    host,
    port,
    auth: authOf(oneOf("AUTH_MODE", ["oidc", "local", "none"])),
    anthropicApiKey,
    anthropicBaseUrl: url("ANTHROPIC_BASE_URL", ["https:", "http:"]) ?? "",
    titleModel: text("TITLE_MODEL") ?? "",
    githubToken: secret("GITHUB_TOKEN"),
    githubUrl: url("GITHUB_URL", ["https:", "http:"]) ?? "",
    agent,
    agentCommand: agentCommand ?? undefined,
    sandboxProvider,
    ipAllocatorUrl,
    claudePath: text("CLAUDE_PATH"),
    claudeModel: text("CLAUDE_MODEL"),
    workerConcurrency: integer("WORKER_CONCURRENCY", 1, 256),
    maxRunning: integer("MAX_RUNNING_PROMPTS", 1, 100_000),
    maxRunningPerUser: integer("MAX_RUNNING_PER_USER", 1, 100_000),
    runLimits: {
      timeoutMs: integer("RUN_TIMEOUT_MINUTES", 1, 10_080) * 60_000,
      silenceMs: integer("RUN_SILENCE_MINUTES", 0, 10_080) * 60_000,
      resultGraceMs: RESULT_GRACE_MS,
      minFreeBytes: integer("MIN_FREE_DISK_MB", 0, 10_000_000) * 1024 ** 2,
      maxCheckoutBytes: integer("CHECKOUT_DISK_MB", 0, 100_000_000) * 1024 ** 2,
    },
    metricsToken: secret("METRICS_TOKEN"),
    metricsPort: text("METRICS_PORT") === undefined ? undefined : integer("METRICS_PORT", 0, 65535),
    gitAuthor: { name: text("GIT_AUTHOR_NAME") ?? "", email: text("GIT_AUTHOR_EMAIL") ?? "" },
    corsOrigins: originsOf(text("CORS_ORIGINS")),
    rateLimitPerMinute: integer("RATE_LIMIT_PER_MINUTE", 0, 1_000_000_000),
    rateLimitAddressPerMinute: integer("RATE_LIMIT_ADDRESS_PER_MINUTE", 0, 1_000_000_000),
    maxUnfinishedPrompts: integer("MAX_UNFINISHED_PROMPTS", 1, 1_000_000),
    webhookSecret: webhookSecretOf(),
    railway: railwayOf(),
    trustedProxyHops: integer("TRUSTED_PROXY_HOPS", 0, 10),
    logLevel: oneOf("LOG_LEVEL", LOG_LEVELS) ?? "info",
    shutdownTimeoutMs: integer("SHUTDOWN_TIMEOUT_SECONDS", 0, 3600) * 1000,
    retention: {
      deletedDays: integer("RETENTION_DELETED_DAYS", 0, 36_500),
      eventsDays: integer("RETENTION_EVENTS_DAYS", 0, 36_500),
    },
    path: env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
  };
  if (problems.length > 0)
    throw new OperatorError(
      `The configuration has ${problems.length === 1 ? "a mistake" : `${problems.length} mistakes`}:\n${problems.map((one) => `  ${one}`).join("\n")}`,
    );
  return Object.freeze(config);

  function webhookSecretOf(): Secret | undefined {
    const value = secret("WEBHOOK_SECRET");
    if (value !== undefined && value.reveal().length < 16)
      fail("WEBHOOK_SECRET", "must have at least 16 characters; `openssl rand -hex 32` makes one");
    return value;
  }

  function railwayOf(): Config["railway"] {
    const [apiKey, deploymentId] = [secret("RAILWAY_API_KEY"), text("RAILWAY_DEPLOYMENT_ID")];
    const apiUrl = url("RAILWAY_API_URL", ["https:", "http:"]);
    if (apiKey && !deploymentId) fail("RAILWAY_DEPLOYMENT_ID", "is required with RAILWAY_API_KEY");
    if (!apiKey && deploymentId) fail("RAILWAY_API_KEY", "is required with RAILWAY_DEPLOYMENT_ID");
    return apiKey && deploymentId && apiUrl ? { apiUrl, apiKey, deploymentId } : undefined;
  }

  function authOf(mode: "oidc" | "local" | "none" | undefined): AuthConfig {
    const issuer = url("KEYCLOAK_ISSUER", ["https:", "http:"]);
    const jwksUri = url("KEYCLOAK_JWKS_URI", ["https:", "http:"]);
    const audience = text("AUTH_AUDIENCE") ?? "";
    if (mode === "none" && serves && !isLoopback(host))
      fail(
        "AUTH_MODE",
        `none lets everybody in, so it works on a loopback address only; set HOST=127.0.0.1 (it is ${host})`,
      );
    if (mode === "none") return { mode };
    if (mode === "local") return { mode, audience };
    if (issuer) return { mode: "oidc", issuer, jwksUri, audience };
    if (mode === "oidc") fail("KEYCLOAK_ISSUER", "is required with AUTH_MODE=oidc");
    else if (serves && !isLoopback(host))
      fail(
        "KEYCLOAK_ISSUER",
        `is required when listening on ${host}; set it, or HOST=127.0.0.1, or AUTH_MODE=local to accept locally issued tokens from anywhere`,
      );
    return { mode: "local", audience };
  }

  function originsOf(list: string | undefined): string[] {
    const origins = (list ?? "")
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    for (const origin of origins)
      if (URL.parse(origin)?.origin !== origin)
        fail("CORS_ORIGINS", `${JSON.stringify(origin)} is not an origin such as https://ui.example.com`);
    return origins;
  }
}

/** What the demo agent, a process of its own inside a sandbox, passes on to git. */
export function gitEnvironment(env: Env = process.env): Env {
  return { PATH: env["PATH"], HOME: env["HOME"], LANG: "C.UTF-8" };
}

/** True for an address that only this machine can reach. A name such as 127.example.com is not one. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** The values that must never be printed; passwords in URLs both as they stand there and decoded. */
export function secretsOf(config: Config): string[] {
  const passwords = [config.databaseUrl, config.redisUrl].flatMap((url) => {
    const password = (url && URL.parse(url.reveal())?.password) || "";
    try {
      return [...new Set([password, decodeURIComponent(password)])];
    } catch {
      return [password];
    }
  });
  return [
    ...[
      config.anthropicApiKey,
      config.githubToken,
      config.webhookSecret,
      config.metricsToken,
      config.railway?.apiKey,
    ].map((secret) => secret?.reveal()),
    ...passwords,
  ].filter((one): one is string => !!one);
}
