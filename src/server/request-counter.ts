import { RateLimiterRes } from "rate-limiter-flexible";

/** What is used of a limiter of rate-limiter-flexible: rejects with RateLimiterRes when over the limit. */
export interface Store {
  consume(key: string, points: number): Promise<RateLimiterRes>;
}

export interface Count {
  over: boolean;
  remaining: number;
  /** Milliseconds until the window ends. */
  resetMs: number;
}

interface Share {
  /** Requests that have been counted already and not been made. */
  left: number;
  remaining: number;
  until: number;
}

/** Milliseconds that one look at the store may take, and how long it is left alone after a failure. */
const PATIENCE_MS = 500;
const LEFT_ALONE_MS = 5_000;
/** Milliseconds between two reports of a store that stays away. */
const REPORT_EVERY_MS = 60_000;
const MAX_SHARES = 10_000;

/**
 * Counts requests by key. It takes shares of a hundredth of the limit from the shared store, so that most requests
 * cost no round trip; at worst a server keeps a share that it does not use. While the store is away each server counts
 * by itself in `spare`: a broken counter must not close the service.
 */
export function createCounter(options: {
  store: Store;
  spare: Store;
  points: number;
  onAway: (error: unknown) => void;
  now?: () => number;
}): { count(key: string): Promise<Count> } {
  const { store, spare, points, onAway, now = Date.now } = options;
  const share = Math.max(1, Math.floor(points / 100));
  const shares = new Map<string, Share>();
  const fetching = new Map<string, Promise<Share | undefined>>();
  let leaveAloneUntil = 0;
  let reportedAt = Number.NEGATIVE_INFINITY;

  async function consume(key: string): Promise<RateLimiterRes> {
    if (now() >= leaveAloneUntil)
      try {
        return await withPatience(store.consume(key, share));
      } catch (error) {
        if (error instanceof RateLimiterRes) throw error;
        leaveAloneUntil = now() + LEFT_ALONE_MS;
        if (now() - reportedAt >= REPORT_EVERY_MS) {
          reportedAt = now();
          onAway(error);
        }
      }
    return spare.consume(key, share);
  }

  async function fetchShare(key: string): Promise<Share> {
    let taken: Share;
    try {
      const { remainingPoints, msBeforeNext } = await consume(key);
      taken = { left: share, remaining: remainingPoints, until: now() + msBeforeNext };
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      // Remembered like a share, of nothing: nobody asks the store again before the window ends.
      taken = { left: 0, remaining: 0, until: now() + error.msBeforeNext };
    }
    // The one that was taken longest ago is forgotten, and with it at most a share.
    shares.delete(key);
    shares.set(key, taken);
    for (const oldest of shares.keys()) {
      if (shares.size <= MAX_SHARES) break;
      shares.delete(oldest);
    }
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

async function withPatience<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
