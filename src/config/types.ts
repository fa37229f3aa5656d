import type { LogLevel } from "../observability/logger.ts";
import type { Secret } from "../shared/secret.ts";

/**
 * The environment, read once; config.ts is the only file that reads process.env. Every mistake is collected and
 * reported together, by variable name, with what to do; values of secrets are never printed.
 */
export interface Config {
  /** With its password. */
  databaseUrl: Secret | undefined;
  databasePoolMax: number;
  /** With its password. */
  redisUrl: Secret | undefined;
  /** Absolute path: embedded database, local issuer's key, checkouts. */
  dataDir: string;
  host: string;
  port: number;
  auth: AuthConfig;
  anthropicApiKey: Secret | undefined;
  anthropicBaseUrl: string;
  titleModel: string;
  githubToken: Secret | undefined;
  /** Where `owner/name` lives; the only host that GITHUB_TOKEN is shown to. No trailing slash. */
  githubUrl: string;
  /** Undefined: claude where its program and a key are there, else demo. */
  agent: "claude" | "command" | "demo" | undefined;
  agentCommand: readonly [string, ...string[]] | undefined;
  sandboxProvider: "local" | "allocator";
  ipAllocatorUrl: string | undefined;
  claudePath: string | undefined;
  claudeModel: string | undefined;
  workerConcurrency: number;
  /** In the whole cluster, and of one user. */
  maxRunning: number;
  maxRunningPerUser: number;
  runLimits: RunLimits;
  /** Who may read /metrics; undefined: everybody who can reach it. */
  metricsToken: Secret | undefined;
  /** Where a process shows its metrics apart from the API; undefined: only there. */
  metricsPort: number | undefined;
  gitAuthor: { name: string; email: string };
  corsOrigins: readonly string[];
  /** Requests of one user; 0: unlimited. */
  rateLimitPerMinute: number;
  /** Requests of one address that show no good token; 0: unlimited. */
  rateLimitAddressPerMinute: number;
  /** Of one user: prompts that wait or run. */
  maxUnfinishedPrompts: number;
  /** What webhooks are known by; undefined: they are closed. */
  webhookSecret: Secret | undefined;
  /** What is deployed again when something lent has been returned. */
  railway: { apiUrl: string; apiKey: Secret; deploymentId: string } | undefined;
  /** How many proxies stand in front; only then are X-Forwarded-For and X-Forwarded-Proto believed. */
  trustedProxyHops: number;
  logLevel: LogLevel;
  shutdownTimeoutMs: number;
  retention: RetentionLimits;
  /** The machine's PATH, for finding programs. */
  path: string;
}

/** What ends a run, or keeps it from starting. */
export interface RunLimits {
  /** Wall clock of one run, milliseconds. */
  timeoutMs: number;
  /** Neither output nor work of the processor for so long, milliseconds; 0: no limit. */
  silenceMs: number;
  /** The agent has said that it is done, and has so long to end, milliseconds. */
  resultGraceMs: number;
  /** Bytes that must be free where checkouts are, for a run to start; below half of it, running ones are ended. */
  minFreeBytes: number;
  /** Bytes that all checkouts of this machine may have when another run starts; 0: no limit. */
  maxCheckoutBytes: number;
}

/** How long what is no longer needed is kept, in days; 0: for ever. */
export interface RetentionLimits {
  /** Sessions, from their deletion. */
  deletedDays: number;
  /** What agents said, event by event, from the end of their prompt. The session's conversation stays. */
  eventsDays: number;
}

export type AuthConfig =
  | { mode: "oidc"; issuer: string; jwksUri: string | undefined; audience: string }
  | { mode: "local"; audience: string }
  | { mode: "none" };
