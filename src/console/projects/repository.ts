import type { ProjectDto } from "../../../sdk/src/index.ts";

const OWNER_NAME = /^[\w-]+\/[\w.-]+$/;

/**
 * One text for the usual spellings of a repository. The service knows all of them (`owner/name` may be of another host than
 * GitHub); it refuses a second project, so that here a guess is enough.
 */
function spelling(repo: string): string {
  const text = repo
    .trim()
    .replace(/\/+$/, "")
    .replace(/\.git$/, "");
  if (OWNER_NAME.test(text)) return `https://github.com/${text}`;
  const url = URL.parse(text);
  return url && url.protocol !== "file:" ? url.href.replace(/\/+$/, "") : text.replace(/^file:\/\//, "");
}

/** The project of a repository, if it has one. */
export function projectFor(
  projects: readonly ProjectDto[] | undefined,
  repo: string,
): ProjectDto | undefined {
  if (repo.trim() === "") return undefined;
  const wanted = spelling(repo);
  return projects?.find((one) => spelling(one.repo) === wanted);
}
