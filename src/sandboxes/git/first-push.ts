import { FIRST_COMMIT } from "./first-commit.ts";
import { pushFailure, RepositoryError } from "./git-errors.ts";
import type { CheckoutRequest } from "./request.ts";
import { PUSH_FIRST } from "./scripts.ts";
import type { StoreGit } from "./store-git.ts";

/** What hosts answer to a push that wants no branch there, where there is one. */
export const TAKEN = /\(?stale info\)?|already exists/i;

/**
 * Before a session's branch is made: the first branch of a repository becomes its default branch on most hosts, so that of a session
 * must not be it. Where the work began with the first commit, this makes the target branch of that commit.
 * @param options.listing what LOOK printed.
 * @param options.failed makes the error of a push of what git said.
 * @returns whether it made it; or why the session's branch must not be pushed.
 * @throws RepositoryError, transient where a later look may find what this one missed.
 */
export async function pushFirst(options: {
  storeGit: StoreGit;
  request: CheckoutRequest;
  listing: string;
  failed: (output: string) => RepositoryError;
  signal: AbortSignal;
}): Promise<{ made: boolean } | { refused: string }> {
  const { storeGit, request, listing, failed, signal } = options;
  const { address, withSource } = storeGit;
  const { targetBranch } = request;
  const { first } = request.pushes;
  const is = (relation: string) => listing.includes(`\nrelation\t${relation}`);
  if (!is("first"))
    return is("empty")
      ? {
          refused: `${address.display} has no branch any more, and a session's must not be its first: push ${targetBranch} to it.`,
        }
      : { made: false };
  if (is("unrelated")) {
    const other = `${address.display} was empty when this work began, and somebody else has pushed a first commit to ${targetBranch} since.`;
    await first.settle(FIRST_COMMIT, other);
    return {
      refused: `${other} POST /sessions/${request.sessionId}/sync joins the two, and pushes the work.`,
    };
  }
  if (!is("empty")) {
    // Also an earlier push whose answer was lost.
    await first.settle(FIRST_COMMIT);
    return { made: false };
  }
  await first.record(FIRST_COMMIT, `${address.display}#${targetBranch}`);
  const push = await withSource(PUSH_FIRST, [address.url, FIRST_COMMIT, targetBranch, ""], signal, {
    push: true,
  });
  if (push.code === 0) {
    await first.settle(FIRST_COMMIT);
    return { made: true };
  }
  // Another session, or its user: the next look tells.
  if (TAKEN.test(push.error))
    throw new RepositoryError(
      `somebody else was making ${targetBranch} at the same moment`,
      undefined,
      "machine",
    );
  const error = failed(push.error);
  // Of a host that is away it is not known how far the push came.
  if (error.fault !== "git_host") await first.settle(FIRST_COMMIT, pushFailure(address, push.error));
  throw error;
}
