import type { Config } from "../config/config.ts";
import type { Forges } from "../forges/open-forges.ts";
import type { PullRequestOf } from "../runs/finish.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import { AppError } from "../shared/errors.ts";
import { openTargets } from "./targets.ts";

/** What the project says, else PR_MODE, for branches whose host is known. */
export function pullRequestsAfterRuns(config: Config, forges: Forges): PullRequestOf {
  const targetOf = openTargets(repoRules(config), forges);
  return ({ repo, branch, targetBranch }, own) => {
    const mode = own ?? config.pullRequests.mode;
    if (mode === "manual") return undefined;
    try {
      const request = { base: targetBranch, draft: mode === "draft" };
      return { target: `${targetOf(repo).url}#${branch}`, request };
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  };
}
