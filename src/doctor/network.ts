import { existsSync } from "node:fs";
import { join } from "node:path";
import { createKeySet } from "../auth/key-set.ts";
import { openLocalIssuer } from "../auth/local-issuer.ts";
import type { ControlStatus } from "../backup/control.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { connectRedis } from "../queue/redis.ts";
import { listen, urlHost } from "../server/listen.ts";
import { messageOf } from "../shared/errors.ts";
import { type Found, fail, ok, warn } from "./finding.ts";

export const ANSWER_MS = 5_000;
/** The oldest Redis that BullMQ works with, and the oldest that it recommends. */
const REDIS = { least: 5, good: 6.2 };

export async function queueFound(config: Config, logger: Logger): Promise<Found> {
  if (config.redisUrl === undefined) return ok("in the database (REDIS_URL is not set)");
  const redis = await connectRedis(config.redisUrl.reveal(), logger);
  try {
    const info = await redis.info();
    const fieldOf = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1] ?? "";
    const version = fieldOf("redis_version");
    const policy = fieldOf("maxmemory_policy");
    const [major, minor] = version.split(".").map(Number);
    const number = (major ?? 0) + (minor ?? 0) / 10;
    const what = `Redis ${version}, maxmemory-policy ${policy || "unknown"}`;
    if (number < REDIS.least) return fail(what, `use Redis ${REDIS.good} or newer`);
    if (policy !== "" && policy !== "noeviction")
      return warn(
        what,
        "set maxmemory-policy to noeviction: with another policy Redis may drop jobs, which then start late",
      );
    return number < REDIS.good ? warn(what, `use Redis ${REDIS.good} or newer`) : ok(what);
  } finally {
    redis.disconnect();
  }
}

export async function identityFound(config: Config): Promise<Found> {
  const { auth, dataDir } = config;
  if (auth.mode === "none")
    return warn(
      "AUTH_MODE=none gives every process on this machine access",
      "use it only to try the service out",
    );
  if (auth.mode === "local") {
    if (!existsSync(join(dataDir, "local-issuer.key")))
      return ok("local issuer; its key is created at first use");
    return ok(`local issuer with the key ${openLocalIssuer({ dataDir, audience: auth.audience }).keyFile}`);
  }
  const { issuer, jwksUri } = auth;
  const keys = createKeySet({ issuer, jwksUri, timeoutMs: ANSWER_MS, cooldownMs: 0 });
  try {
    await keys.current();
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return fail(
      `the keys of ${issuer} cannot be fetched: ${messageOf(cause)}`,
      "check KEYCLOAK_ISSUER (including the realm, exactly as in the tokens' iss claim), KEYCLOAK_JWKS_URI, and that this machine can reach the issuer",
    );
  }
  return ok(`${issuer} publishes its keys`);
}

/** Any answer shows that the allocator is reachable. */
export async function allocatorFound(url: string): Promise<Found> {
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), redirect: "manual" });
    return ok(`${new URL(url).host} answers (${status})`);
  } catch (error) {
    return fail(
      `${new URL(url).host} does not answer: ${messageOf(error)}`,
      "check IP_ALLOCATOR_URL, and that the allocator is running",
    );
  }
}

/** Checks that the server could listen, or is listening already. */
export async function portFound(config: Config, running: ControlStatus | undefined): Promise<Found> {
  const { host, port } = config;
  const where = `${host}:${port}`;
  if (running?.url && (port === 0 || new URL(running.url).port === String(port)))
    return ok(`the running service is listening on ${running.url}`);
  if (port === 0) return ok("any free port");
  try {
    const listening = await listen({ app: { fetch: () => new Response() }, host, port });
    await listening.stop();
    return ok(`${where} is free`);
  } catch (error) {
    const other = await serviceAt(config);
    if (other !== undefined) return ok(`a prompt-backend ${other} is listening on ${where} already`);
    return fail(messageOf(error), "stop the process that uses it, or set another PORT");
  }
}

async function serviceAt({ host, port }: Config): Promise<string | undefined> {
  try {
    const reply = await fetch(`http://${urlHost(host)}:${port}/health/detail`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const { version, isolation, code } = (await reply.json()) as Record<string, unknown>;
    if (reply.status === 401 && code === "token_missing") return "(whose details need a token)";
    return typeof version === "string" && isolation !== undefined ? version : undefined;
  } catch {
    return undefined;
  }
}
