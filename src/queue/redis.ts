import { Redis } from "ioredis";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { unlessAborted } from "../shared/time.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_RETRY_MS = 2_000;

/** Creates a client that is not connected yet. It reconnects by itself; commands fail at once while Redis is unavailable. */
function makeRedis(url: string): Redis {
  return new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 200, MAX_RETRY_MS),
  });
}

/** For callers that tolerate a Redis that is unavailable, even at startup. The caller disconnects it. */
export function openRedis(url: string, logger: Logger): Redis {
  const redis = makeRedis(url);
  watch(redis, logger);
  // The error listener has logged the reason, and the client reconnects.
  redis.connect().catch(() => undefined);
  return redis;
}

/**
 * For callers that cannot start without Redis.
 * @throws OperatorError when it cannot be reached; what `signal` aborted with.
 */
export async function connectRedis(url: string, logger: Logger, signal?: AbortSignal): Promise<Redis> {
  const redis = makeRedis(url);
  let reason = "";
  const note = (error: Error) => {
    reason = messageOf(error);
  };
  redis.on("error", note);
  try {
    await unlessAborted(redis.connect(), signal);
    await unlessAborted(redis.ping(), signal);
  } catch (error) {
    redis.disconnect();
    signal?.throwIfAborted();
    const parsed = URL.parse(url);
    throw new OperatorError(
      `Cannot use the queue of REDIS_URL (${parsed?.hostname}:${parsed?.port || "6379"}): ${reason || messageOf(error)}`,
      1,
      { cause: error },
    );
  }
  redis.off("error", note);
  watch(redis, logger);
  return redis;
}

/** Logs each outage once, although every failed reconnect emits an error. */
function watch(redis: Redis, logger: Logger): void {
  let unavailable = false;
  redis.on("error", (error) => {
    if (!unavailable) logger.warn("Redis is unavailable", { error: messageOf(error) });
    unavailable = true;
  });
  redis.on("ready", () => {
    if (unavailable) logger.info("Redis is available again");
    unavailable = false;
  });
}
