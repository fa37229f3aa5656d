import { retry } from "../shared/time.ts";
import { isRetryableDbError } from "./client.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Runs a query that must not fail because the database is unavailable for a while: it is tried again until it works, or
 * until `signal` aborts. Whatever else goes wrong is thrown at once.
 * @param query told how often it has been tried: from the second attempt on, an earlier one may have had its effect.
 */
export const retryWhileUnavailable = <T>(
  signal: AbortSignal,
  query: (attempt: number) => Promise<T>,
): Promise<T> =>
  retry(query, { firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS, when: isRetryableDbError, signal });
