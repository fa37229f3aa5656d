/** Longest time, in milliseconds, that what is not needed for the first look waits for a quiet moment. */
const LONGEST_MS = 2_000;
/** While the service is away, a part of the page is asked for again after this time. */
const RETRY_MS = 2_000;

/** Loads a module once the page has shown itself: it must not compete with what the user waits for. */
export async function later<Module>(load: () => Promise<Module>): Promise<Module> {
  await new Promise<void>((resolve) => {
    // Safari has no requestIdleCallback.
    if ("requestIdleCallback" in globalThis) requestIdleCallback(() => resolve(), { timeout: LONGEST_MS });
    else setTimeout(resolve, 200);
  });
  return untilLoaded(load);
}

/** Loads a module, also if the service is away when it is wanted: a part that is missing must not take the page down. */
export async function untilLoaded<Module>(load: () => Promise<Module>): Promise<Module> {
  for (;;) {
    try {
      return await load();
    } catch (error) {
      // What `import()` rejects with when there is no answer.
      if (!(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
