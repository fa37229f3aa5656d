import type { Config } from "../config/config.ts";
import { checkBranchName, parseRepo, repoRules } from "../sandboxes/git/repo-url.ts";

/** Where work starts, and the branch it goes to. Fields that are missing are not checked. */
export interface RepoTarget {
  repo?: string | null | undefined;
  targetBranch?: string | null | undefined;
  branch?: string | null | undefined;
}

export type CheckRepoTarget = (target: RepoTarget) => void;

/** Makes a check that throws AppError `invalid_repo` or `invalid_branch` for values that are unsafe or unusable for git. */
export function createRepoTargetCheck(
  config: Pick<Config, "githubUrl" | "forges" | "auth" | "dataDir" | "localRepositories">,
): CheckRepoTarget {
  const rules = repoRules(config);
  return ({ repo, targetBranch, branch }) => {
    if (repo != null) parseRepo(repo, rules);
    if (targetBranch != null) checkBranchName(targetBranch);
    if (branch != null) checkBranchName(branch, "branch");
  };
}
