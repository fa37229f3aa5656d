import { setTimeout as delay } from "node:timers/promises";
import pRetry from "p-retry";

/** @throws what `signal` aborted with, at once. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { ...(signal && { signal }) });
  } catch (error) {
    // Not the AbortError that wraps it: callers tell by the reason what has ended them.
    signal?.throwIfAborted();
    throw error;
  }
}

/** Thrown by `withTimeout`. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
}

/**
 * What `work` gives, if it does so within `ms`; it is not stopped, only no longer waited for.
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

/** What `work` gives; it is not stopped, only no longer waited for. @throws what `signal` aborted with, at once. */
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
 * Tries `work` again while it fails with what `when` says may pass; pauses double, from `firstMs` up to `maxMs`.
 * @param options.tries in all; default: without end.
 * @param options.onFailure told of each failure that is tried again.
 * @returns what `work` gives, also when `signal` aborts during the try that succeeds.
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
    // p-retry reports an abort rather than a success at the same moment; what was done is done.
    if (!done) throw error;
  }
  return (done as { value: T }).value;
}
