/** Longest time, in milliseconds, that what is not needed for the first look waits for a quiet moment. */
const LONGEST_MS = 2_000;

/** Loads a module once the page has shown itself: it must not compete with what the user waits for. */
export async function later<Module>(load: () => Promise<Module>): Promise<Module> {
  await new Promise<void>((resolve) => {
    // Safari has no requestIdleCallback.
    if ("requestIdleCallback" in globalThis) requestIdleCallback(() => resolve(), { timeout: LONGEST_MS });
    else setTimeout(resolve, 200);
  });
  return load();
}
