import { RateLimiterRes } from "rate-limiter-flexible";
import { setBounded } from "../shared/bounded-map.ts";
import { withTimeout } from "../shared/time.ts";

/** The part of a rate-limiter-flexible limiter that is used; rejects with RateLimiterRes above the limit. */
export interface Store {
  consume(key: string, points: number): Promise<RateLimiterRes>;
}

export interface Count {
  over: boolean;
  remaining: number;
  /** Milliseconds until the window ends. */
  resetMs: number;
}

/** Points taken from the store in advance, for requests to come. */
interface Share {
  left: number;
  /** What the store had left when the share was taken. */
  remaining: number;
  /** When the window ends. */
  until: number;
}

/** Timeout of one call to the store, and the pause after one that failed. */
const STORE_TIMEOUT_MS = 500;
const STORE_PAUSE_MS = 5_000;
/** Between two reports of a store that stays unavailable. */
const REPORT_INTERVAL_MS = 60_000;
const MAX_SHARES = 10_000;

/**
 * Counts requests by key. It takes shares of a hundredth of the limit from the shared store, so that most requests cost
 * no round trip; at worst a server holds a share that it does not use. While the store is unavailable each server counts
 * for itself in `fallback`: a broken counter must not take the service down.
 */
export function createCounter(options: {
  store: Store;
  fallback: Store;
  points: number;
  onUnavailable: (error: unknown) => void;
  now?: () => number;
}): { count(key: string): Promise<Count> } {
  const { store, fallback, points, onUnavailable, now = Date.now } = options;
  const share = Math.max(1, Math.floor(points / 100));
  const shares = new Map<string, Share>();
  const fetching = new Map<string, Promise<Share | undefined>>();
  let storePausedUntil = 0;
  let reportedAt = Number.NEGATIVE_INFINITY;

  async function consume(key: string): Promise<RateLimiterRes> {
    if (now() >= storePausedUntil)
      try {
        return await withTimeout(
          STORE_TIMEOUT_MS,
          store.consume(key, share),
          `no answer within ${STORE_TIMEOUT_MS} ms`,
        );
      } catch (error) {
        if (error instanceof RateLimiterRes) throw error;
        storePausedUntil = now() + STORE_PAUSE_MS;
        if (now() - reportedAt >= REPORT_INTERVAL_MS) {
          reportedAt = now();
          onUnavailable(error);
        }
      }
    return fallback.consume(key, share);
  }

  async function fetchShare(key: string): Promise<Share> {
    let taken: Share;
    try {
      const { remainingPoints, msBeforeNext } = await consume(key);
      taken = { left: share, remaining: remainingPoints, until: now() + msBeforeNext };
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      // Kept like an empty share: the store is not asked again before the window ends.
      taken = { left: 0, remaining: 0, until: now() + error.msBeforeNext };
    }
    // Evicts the oldest share; at most its remaining points are lost.
    setBounded(shares, key, taken, MAX_SHARES);
    return taken;
  }

  return {
    async count(key) {
      for (;;) {
        const held = shares.get(key);
        const valid = held !== undefined && now() < held.until;
        if (valid && held.left > 0) {
          held.left -= 1;
          return { over: false, remaining: held.remaining + held.left, resetMs: held.until - now() };
        }
        if (valid && held.remaining === 0) return { over: true, remaining: 0, resetMs: held.until - now() };
        let pending = fetching.get(key);
        if (!pending) {
          pending = fetchShare(key).finally(() => fetching.delete(key));
          fetching.set(key, pending);
        }
        await pending;
      }
    },
  };
}
