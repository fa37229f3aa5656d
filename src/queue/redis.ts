import { Redis } from "ioredis";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { unlessAborted } from "../shared/time.ts";

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_RETRY_MS = 2_000;

/** Not connected yet. Commands fail at once while Redis is unavailable; it reconnects by itself. */
function makeRedis(url: string): Redis {
  return new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 200, MAX_RETRY_MS),
  });
}

/** For callers that can do without Redis for a while, also at the start. Whoever opens it disconnects it. */
export function openRedis(url: string, logger: Logger): Redis {
  const redis = makeRedis(url);
  watch(redis, logger);
  // The listener above has logged why, and it reconnects.
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

/** Logs each outage once: every failed reconnect emits an error of its own. */
function watch(redis: Redis, logger: Logger): void {
  let away = false;
  redis.on("error", (error) => {
    if (!away) logger.warn("Redis is unavailable", { error: messageOf(error) });
    away = true;
  });
  redis.on("ready", () => {
    if (away) logger.info("Redis is available again");
    away = false;
  });
}
