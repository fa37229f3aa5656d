export interface UntilOptions {
  /** The condition in words, for the error. */
  what: string;
  timeoutMs?: number;
  everyMs?: number;
}

/**
 * Polls until the condition returns something truthy. While it throws, polling goes on; its last error becomes the cause
 * of the timeout's error.
 * @returns the truthy value.
 * @throws Error that names the condition, after `timeoutMs` (default 10 s).
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: UntilOptions,
): Promise<Exclude<T, false | null | undefined | 0 | "">> {
  const { what, timeoutMs = 10_000, everyMs = 20 } = options;
  const start = performance.now();
  let last: unknown;
  let cause: unknown;
  do {
    try {
      cause = undefined;
      last = await condition();
      if (last) return last as Exclude<T, false | null | undefined | 0 | "">;
    } catch (error) {
      cause = error;
    }
    await Bun.sleep(everyMs);
  } while (performance.now() - start < timeoutMs);
  const seen = cause instanceof Error ? `it threw: ${cause.message}` : `the last answer was ${show(last)}`;
  throw new Error(`Waited ${timeoutMs} ms in vain for ${what}; ${seen}`, { cause });
}

function show(value: unknown): string {
  return Bun.inspect(value, { depth: 3 }).slice(0, 500);
}
