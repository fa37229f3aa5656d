import { pushFailure, RepositoryError } from "./git-errors.ts";
import { retryOnLock } from "./git-retry.ts";
import type { CheckoutRequest, PushResult } from "./request.ts";
import type { StoreGit } from "./store-git.ts";

/** The first pause between two tries of a push: hosts are down for longer than a lock file is held. */
const FIRST_PAUSE_MS = 250;
const KEPT = "The work is kept, and the next prompt continues from it.";

/**
 * Pushes `head`, a ref of the store, to the session's branch, if the service has credentials for the repository.
 * @returns where the branch is now, or why it was not pushed.
 */
export async function pushBranch(
  { inStore, store, address, hasToken }: StoreGit,
  request: CheckoutRequest,
  head: string,
  signal: AbortSignal,
): Promise<PushResult> {
  const { display, kind, url } = address;
  if (kind === "github" && !hasToken)
    return { pushed: false, reason: `set GITHUB_TOKEN to have it pushed to ${display}. ${KEPT}` };
  if (kind === "https")
    return {
      pushed: false,
      reason: `credentials are only sent to GITHUB_URL; set that and GITHUB_TOKEN for ${display}. ${KEPT}`,
    };
  const push = ["push", "--quiet", "--porcelain", "--", url, `${head}:refs/heads/${request.branch}`];
  try {
    await retryOnLock(() => inStore(push, signal, { remote: true }), {
      store,
      signal,
      when: (error) => error.transient,
      firstMs: FIRST_PAUSE_MS,
    });
    return { pushed: true, to: display };
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error;
    return { pushed: false, reason: `${pushFailure(address, error.message)} ${KEPT}` };
  }
}
