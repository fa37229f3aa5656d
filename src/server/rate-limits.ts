import type { Redis } from "ioredis";
import { RateLimiterMemory, RateLimiterPostgres, RateLimiterRedis } from "rate-limiter-flexible";
import type { Allowance, RateLimits } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError, messageOf } from "../shared/errors.ts";
import { clientAddress } from "./client-address.ts";
import { createCounter, type Store } from "./request-counter.ts";

/** Length, in seconds, of the window in which requests are counted. */
const WINDOW_S = 60;
const UNLIMITED: Allowance = Object.freeze({ headers: {}, refusal: undefined });

/**
 * Rate limits per user, and per address for requests without a valid token. Counted in Redis if it is configured, else
 * in PostgreSQL, so that all servers share the limits; an embedded database has one server, which counts in memory.
 *
 * Replies carry RateLimit-Limit, -Remaining and -Reset, which client libraries read, rather than the later drafts'
 * single RateLimit field, which hardly any supports yet.
 * @returns undefined with AUTH_MODE=none, where all requests are of one user of this machine.
 */
export function createRateLimits(options: {
  config: Pick<Config, "auth" | "rateLimitPerMinute" | "rateLimitAddressPerMinute" | "trustedProxyHops">;
  database: Pick<Database, "kind" | "queuePool">;
  redis: Redis | undefined;
  logger: Logger;
}): RateLimits | undefined {
  const { config, database, redis, logger } = options;
  if (config.auth.mode === "none") return undefined;

  const storeOf = (points: number): Store => {
    const rule = { points, duration: WINDOW_S };
    if (redis)
      return new RateLimiterRedis({
        ...rule,
        keyPrefix: "prompt-backend:limit",
        storeClient: redis,
        rejectIfRedisNotReady: true,
      });
    if (database.kind === "embedded") return new RateLimiterMemory(rule);
    return new RateLimiterPostgres({
      ...rule,
      keyPrefix: "limit",
      storeClient: database.queuePool(),
      storeType: "pool",
      schemaName: "public",
      tableName: "request_limit",
      tableCreated: true,
    });
  };
  const createLimit = (points: number, subject: string) => {
    if (points === 0) return async () => UNLIMITED;
    const counter = createCounter({
      store: storeOf(points),
      fallback: new RateLimiterMemory({ points, duration: WINDOW_S }),
      points,
      onUnavailable: (error) =>
        logger.warn("shared rate limit store unavailable; each server counts for itself", {
          error: messageOf(error),
        }),
    });
    const limit = String(points);
    const policy = `${points};w=${WINDOW_S}`;
    return async (key: string): Promise<Allowance> => {
      const { over, remaining, resetMs } = await counter.count(key);
      const seconds = Math.max(1, Math.ceil(resetMs / 1000));
      return {
        headers: {
          "ratelimit-limit": limit,
          "ratelimit-remaining": String(remaining),
          "ratelimit-reset": String(seconds),
          "ratelimit-policy": policy,
        },
        refusal: over
          ? new AppError(
              "rate_limited",
              `Rate limit exceeded: ${points} requests a minute ${subject}; retry in ${seconds} s.`,
              { retryAfter: seconds },
            )
          : undefined,
      };
    };
  };

  const user = createLimit(config.rateLimitPerMinute, "per user");
  const address = createLimit(config.rateLimitAddressPerMinute, "without a valid token per address");
  return {
    byUser: (id) => user(`user:${id}`),
    byAddress: (request) => address(`address:${clientAddress(request, config.trustedProxyHops)}`),
  };
}
