import { RepositoryError, saysTooLarge } from "./git-errors.ts";

/** Commits of each branch, where the whole history is too large. One is all that a checkout needs. */
const DEPTHS = ["--depth=50", "--depth=1"];

/** What a fetch has found. */
export interface Found {
  /** The commit that the session's next checkout starts from. */
  start: string;
  /** That of the target branch. */
  base: string;
  /** Whether files at `start` are given to Git LFS. */
  lfs: boolean;
  /** The history of both ends before its beginning, which is too large to be fetched. */
  cut: boolean;
  /** Therefore they have nothing in common, and it has not been looked for. */
  apart: boolean;
  /** A checkout may borrow what the target branch has (see shared-objects.ts). */
  shared?: boolean;
}

/** Whether a fetch has failed because a pack would be larger than REPO_MAX_MB. */
export const isTooLarge = (error: unknown): boolean =>
  error instanceof RepositoryError && saysTooLarge(error.message);

/** The same, or because it takes more memory or time than git may have. */
const isTooMuch = (error: unknown): boolean =>
  isTooLarge(error) ||
  (error instanceof RepositoryError &&
    /out of memory|cannot allocate memory|MB of memory|took longer than/i.test(error.message));

/**
 * Fetches whole histories where they fit, else the newest commits of them, and then as many as it takes to see where the session's
 * work and its target branch have parted, if those fit.
 * @param options.fetch with an option of git fetch.
 * @param options.reach fetches what is since the session's work began. @returns whether the two have something in common now.
 * @param options.keepBegin notes where the work began, because no more can be seen: `reach` is not tried again.
 * @throws what the last fetch has failed with.
 */
export async function fetchWhatFits(options: {
  fetch: (history: string) => Promise<Found>;
  reach: () => Promise<boolean>;
  keepBegin: () => Promise<void>;
}): Promise<Found> {
  const { fetch, reach, keepBegin } = options;
  const found = await fetch("").catch(async (error: unknown) => {
    let last = error;
    for (const depth of DEPTHS) {
      if (!isTooMuch(last)) break;
      try {
        return await fetch(depth);
      } catch (next) {
        last = next;
      }
    }
    throw last;
  });
  if (!found.apart) return found;
  try {
    if (await reach()) return found;
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error;
    // The host may answer the next time.
    if (error.transient && !isTooMuch(error)) return found;
  }
  await keepBegin().catch((error: unknown) => {
    if (!(error instanceof RepositoryError)) throw error;
  });
  return found;
}

/** For the user. */
export const cutNotice = (display: string): string =>
  `The history of ${display} is too large to be fetched whole (REPO_MAX_MB): this checkout has its newest commits only, where git log ends, too.`;
