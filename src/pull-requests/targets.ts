import type { Forge, ForgeRepository } from "../forges/forge.ts";
import type { Forges } from "../forges/open-forges.ts";
import { parseRepo, type RepoRules } from "../sandboxes/git/repo-url.ts";
import { AppError } from "../shared/errors.ts";

export interface Target {
  forge: Forge;
  repository: ForgeRepository;
  /** Shown to users. */
  url: string;
}

/** @throws AppError `forge_unknown` where pull requests cannot be made. */
export type TargetOf = (repo: string) => Target;

export const openTargets =
  (rules: RepoRules, forges: Forges): TargetOf =>
  (repo) => {
    const { url, display } = parseRepo(repo, rules);
    const found = forges.forgeOf(url);
    if (!found)
      throw new AppError(
        "forge_unknown",
        `${display} is on no host whose pull requests the service knows. Its operator can add the host to FORGES.`,
      );
    if (found.forge.host.credential === undefined)
      throw new AppError(
        "forge_unknown",
        `The service has no credential for ${found.forge.host.url}. Its operator can set one with FORGES, GITHUB_TOKEN or GITLAB_TOKEN.`,
      );
    return { ...found, url: display };
  };
