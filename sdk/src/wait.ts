/** Delays grow from `first` to `longest`, in milliseconds. */
export interface Backoff {
  first: number;
  longest: number;
}

/** The delay before a retry: doubled each time, and up to a quarter shorter, so that clients do not come back together. */
export const backoffMs = ({ first, longest }: Backoff, retries: number): number =>
  Math.min(first * 2 ** retries, longest) * (1 - Math.random() / 4);

/** Rejects with the signal's reason as soon as it is aborted, whatever the promise does. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Rejects with the signal's reason once it is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Longer timers of JavaScript fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Calls back after a time, Infinity meaning never. @returns what stops it. */
export function after(ms: number, callback: () => void): () => void {
  if (ms > LONGEST_TIMER_MS) return () => undefined;
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}
