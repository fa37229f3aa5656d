import type { Config } from "../config/config.ts";
import { checkBranchName, parseRepo } from "../sandboxes/git/repo-url.ts";

/** Where work starts and where it goes; what is not given is not looked at. */
export interface Place {
  repo?: string | null | undefined;
  targetBranch?: string | null | undefined;
  branch?: string | null | undefined;
}

export type CheckPlace = (place: Place) => void;

/** Refuses what git must not be given. The check throws AppError `invalid`, with a sentence for the user. */
export function createPlaceCheck(config: Pick<Config, "githubUrl" | "auth">): CheckPlace {
  const rules = { githubUrl: config.githubUrl, allowLocal: config.auth.mode !== "oidc" };
  return ({ repo, targetBranch, branch }) => {
    if (repo != null) parseRepo(repo, rules);
    if (targetBranch != null) checkBranchName(targetBranch);
    if (branch != null) checkBranchName(branch, "branch");
  };
}
