import { parseRepo, type RepoRules } from "../sandboxes/git/repo-url.ts";

/** One text for all spellings of a repository: of `owner/name`, its URL, and its URL with `.git`. @throws AppError `invalid_repo` */
export const repoKey = (repo: string, rules: RepoRules): string => {
  const { url, kind } = parseRepo(repo, rules);
  return kind === "remote" ? url.replace(/\.git$/, "") : url;
};
