import { retry } from "../shared/time.ts";
import { isRetryableDbError } from "./client.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Retries a query while the database is unavailable, until it succeeds or `signal` aborts. Other errors are thrown at once.
 * @param query is called with the number of the attempt, from 1: an earlier attempt may have taken effect.
 */
export const retryWhileUnavailable = <T>(
  signal: AbortSignal,
  query: (attempt: number) => Promise<T>,
): Promise<T> =>
  retry(query, { firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS, when: isRetryableDbError, signal });
