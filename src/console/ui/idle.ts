/** A page that is never idle goes on after this, in milliseconds. */
const LONGEST_MS = 1_000;

/** Resolves in a quiet moment: what the user waits for comes first. */
export const untilIdle = (): Promise<void> =>
  new Promise((resolve) => {
    if ("requestIdleCallback" in globalThis) requestIdleCallback(() => resolve(), { timeout: LONGEST_MS });
    // Safari.
    else setTimeout(resolve, LONGEST_MS / 5);
  });
