import { RepositoryError, readFailure } from "./git-errors.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { CheckoutRequest } from "./request.ts";
import type { StoreGit } from "./store-git.ts";

/** How many branch names an error message lists. */
const MAX_NAMES = 10;

/**
 * Lists the branches of the source repository.
 * @returns the commit of each branch, by branch name; the target branch is among them.
 * @throws RepositoryError when the repository cannot be read or lacks the target branch.
 */
export async function remoteBranches(
  { inStore, address, hasToken }: StoreGit,
  request: CheckoutRequest,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const listing = await inStore(["ls-remote", "--heads", "--", address.url], signal, { remote: true }).catch(
    (error: unknown) => {
      if (!(error instanceof RepositoryError)) throw error;
      const message = readFailure(address, error.message, hasToken);
      throw new RepositoryError(message, { cause: error }, error.transient);
    },
  );
  const heads = new Map(
    listing
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const tab = line.indexOf("\t");
        return [line.slice(tab + 1).replace(/^refs\/heads\//, ""), line.slice(0, tab)];
      }),
  );
  if (!heads.has(request.targetBranch)) throw missingBranch(address, request.targetBranch, [...heads.keys()]);
  return heads;
}

function missingBranch({ display }: RepoAddress, target: string, names: readonly string[]): RepositoryError {
  if (names.length === 0)
    return new RepositoryError(`The repository ${display} is empty: push a first commit on ${target} to it.`);
  const listed = `${names.slice(0, MAX_NAMES).join(", ")}${names.length > MAX_NAMES ? ", …" : ""}`;
  return new RepositoryError(`The repository ${display} has no branch ${target}; it has ${listed}.`);
}
