import type { Redis } from "ioredis";
import { RateLimiterMemory, RateLimiterPostgres, RateLimiterRedis } from "rate-limiter-flexible";
import type { Allowance, RateLimits } from "../auth/limits.ts";
import type { Config } from "../config/config.ts";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError, messageOf } from "../shared/errors.ts";
import { clientAddress } from "./client-address.ts";
import { createCounter, type Store } from "./request-counter.ts";

/** Seconds of the window that requests are counted in. */
const WINDOW_S = 60;
const UNLIMITED: Allowance = Object.freeze({ headers: {}, refusal: undefined });

/**
 * Limits per user, and per address for who shows no good token. Counted in Redis where there is one, else in
 * PostgreSQL, so that all servers count together; the embedded database has one server only, which counts in memory.
 *
 * Replies carry RateLimit-Limit, -Remaining and -Reset, which client libraries read, and not the later drafts' single
 * RateLimit field, which hardly any does yet.
 * @returns undefined with AUTH_MODE=none, where everybody is the one user of this machine.
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
  const limit = (points: number, who: string) => {
    if (points === 0) return async () => UNLIMITED;
    const counter = createCounter({
      store: storeOf(points),
      spare: new RateLimiterMemory({ points, duration: WINDOW_S }),
      points,
      onAway: (error) =>
        logger.warn("requests cannot be counted together; each server counts for itself", {
          error: messageOf(error),
        }),
    });
    return async (key: string): Promise<Allowance> => {
      const { over, remaining, resetMs } = await counter.count(key);
      const seconds = Math.max(1, Math.ceil(resetMs / 1000));
      return {
        headers: {
          "ratelimit-limit": String(points),
          "ratelimit-remaining": String(remaining),
          "ratelimit-reset": String(seconds),
          "ratelimit-policy": `${points};w=${WINDOW_S}`,
        },
        refusal: over
          ? new AppError(
              "rate_limited",
              `More than ${points} requests a minute ${who}; come again in ${seconds} s.`,
              { retryAfter: seconds },
            )
          : undefined,
      };
    };
  };

  const user = limit(config.rateLimitPerMinute, "from one user");
  const address = limit(config.rateLimitAddressPerMinute, "without a good token from one address");
  return {
    ofUser: (id) => user(`user:${id}`),
    ofStranger: (request) => address(`address:${clientAddress(request, config.trustedProxyHops)}`),
  };
}
