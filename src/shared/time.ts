import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";

/** @throws what `signal` aborted with, at once. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { ...(signal && { signal }) });
  } catch (error) {
    // Throw the abort reason, not the AbortError that wraps it: callers check the reason.
    signal?.throwIfAborted();
    throw error;
  }
}

/** Thrown by `withTimeout`. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
}

/**
 * Resolves with the result of `work` if it settles within `ms`. Does not cancel `work`.
 * @throws TimeoutError with `message` after that time.
 */
export async function withTimeout<T>(ms: number, work: PromiseLike<T>, message: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new TimeoutError(message)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with the result of `work`, which is not cancelled on abort. @throws what `signal` aborted with, at once. */
export async function unlessAborted<T>(work: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Retries `work` while `when` accepts the error, with exponential backoff from `firstMs` up to `maxMs`.
 * @param options.tries the maximum number of attempts; default: unlimited.
 * @param options.onFailure called before each retry.
 * @returns the result of `work`, also when `signal` aborts during the attempt that succeeds.
 * @throws the last failure; what `signal` aborted with, at once, even in a pause.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  options: {
    tries?: number;
    firstMs: number;
    maxMs?: number;
    when: (error: Error) => boolean | Promise<boolean>;
    onFailure?: (error: Error, attempt: number) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<T> {
  const { tries = Number.POSITIVE_INFINITY, firstMs, maxMs, when, onFailure, signal } = options;
  let done: { value: T } | undefined;
  try {
    await pRetry(
      async (attempt) => {
        done = { value: await work(attempt) };
      },
      {
        retries: tries - 1,
        minTimeout: firstMs,
        ...(maxMs !== undefined && { maxTimeout: maxMs }),
        async shouldRetry({ error, attemptNumber }) {
          const again = await when(error);
          if (again) onFailure?.(error, attemptNumber);
          return again;
        },
        ...(signal && { signal }),
      },
    );
  } catch (error) {
    // p-retry reports an abort even if the attempt succeeded; keep the result.
    if (!done) throw error;
  }
  return (done as { value: T }).value;
}

/** Whether it is a day such as 2026-11-01. JavaScript takes February 30 for a day in March. */
export const isDay = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(text) &&
  !Number.isNaN(Date.parse(text)) &&
  new Date(text).toISOString().startsWith(text);
