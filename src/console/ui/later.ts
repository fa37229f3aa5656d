import { untilIdle } from "./idle.ts";

/** While the service is away, a part of the page is asked for again after this time. */
const RETRY_MS = 2_000;
/** Answers whoever asks, if the service is there. */
const ALIVE = "/health";
/** The page is loaded anew at most once in this time, in milliseconds; when it was, is in the tab's storage. */
const SELDOM_MS = 60_000;
const LOADED_ANEW = "prompt-backend:loaded-anew";

/** Loads a module once the page has shown itself: it must not compete with what the user waits for. */
export async function later<Module>(load: () => Promise<Module>): Promise<Module> {
  await untilIdle();
  return untilLoaded(load);
}

/**
 * Loads a module, also if the service is away when it is wanted: a part that is missing must not take the page down. Firefox
 * remembers that a module could not be loaded for as long as the page is open, and after an update of the service it may be there
 * under another name alone: where the service answers and the module still does not come, the page is loaded anew.
 */
export async function untilLoaded<Module>(load: () => Promise<Module>): Promise<Module> {
  for (let answers = false; ; ) {
    try {
      return await load();
    } catch (error) {
      // What `import()` rejects with when there is no answer.
      if (!(error instanceof TypeError)) throw error;
      if (answers) loadAnew();
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      answers = await fetch(ALIVE, { cache: "no-store" }).then(
        (response) => response.ok,
        () => false,
      );
    }
  }
}

/** Not again and again, if that did not help. */
function loadAnew(): void {
  try {
    const last = Number(sessionStorage.getItem(LOADED_ANEW));
    if (Date.now() - last < SELDOM_MS) return;
    sessionStorage.setItem(LOADED_ANEW, String(Date.now()));
  } catch {
    // A browser that keeps nothing would not know that it has been tried.
    return;
  }
  location.reload();
}
