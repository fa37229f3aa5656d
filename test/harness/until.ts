export interface UntilOptions {
  /** What is waited for, in words: the error's subject. */
  what: string;
  timeoutMs?: number;
  everyMs?: number;
}

/**
 * Polls until the condition gives something truthy, and returns that. An error thrown by the condition counts
 * as "not yet" and is the cause of the final error.
 * @throws Error naming what was waited for, after `timeoutMs` (10 s).
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
