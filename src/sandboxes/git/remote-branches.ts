import type { GitResult } from "./git.ts";
import { faultIn, RepositoryError, readFailure } from "./git-errors.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { FetchRequest } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import type { StoreGit } from "./store-git.ts";

/** How many branch names an error message lists. */
const MAX_NAMES = 10;

/**
 * Why a fetch failed: an error, or that the session's own branch is not there any more, or that nobody has pushed anything to the
 * repository yet.
 */
export function fetchFailure(
  { address }: StoreGit,
  request: FetchRequest,
  { code, out, error }: GitResult,
): RepositoryError | "branch is gone" | "nothing is there" {
  if (code === EXIT.unreadable)
    return new RepositoryError(readFailure(address, error), undefined, faultIn(error, address));
  const names = [...headsIn(out).keys()];
  const noBranch = /couldn't find remote ref/i.test(error);
  if (noBranch && names.length === 0 && request.pushes.commit === null) return "nothing is there";
  if (!names.includes(request.targetBranch)) return missingBranch(address, request, names);
  if (noBranch && !names.includes(request.branch)) return "branch is gone";
  return new RepositoryError(readFailure(address, error), undefined, faultIn(error, address));
}

/** The branches in a listing of `git ls-remote`, and their commits. */
export function headsIn(listing: string): Map<string, string> {
  return new Map(
    listing.split("\n").flatMap((line) => {
      const [, commit, name] = /^([0-9a-f]{40,64})\trefs\/heads\/(.+)$/.exec(line) ?? [];
      return commit === undefined || name === undefined ? [] : [[name, commit] as const];
    }),
  );
}

/** The branches that HEAD is said to be, in a listing of `git ls-remote --symref`. */
export function defaultBranchesIn(listing: string): string[] {
  return listing.split("\n").flatMap((line) => {
    const [, name] = /^ref: refs\/heads\/(.+)\tHEAD$/.exec(line) ?? [];
    return name === undefined ? [] : [name];
  });
}

function missingBranch(
  { display }: RepoAddress,
  { targetBranch, branch, unpushed }: FetchRequest,
  names: readonly string[],
): RepositoryError {
  const hasWork = unpushed.commit !== null || names.includes(branch);
  const kept = hasWork
    ? ` What this session has done is kept: it goes on once ${targetBranch} is there again.`
    : "";
  if (names.length === 0)
    return new RepositoryError(`The repository ${display} has lost all its branches.${kept}`);
  const listed = `${names.slice(0, MAX_NAMES).join(", ")}${names.length > MAX_NAMES ? ", …" : ""}`;
  return new RepositoryError(
    `The repository ${display} has no branch ${targetBranch}; it has ${listed}.${kept}`,
  );
}
