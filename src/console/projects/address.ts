/** What the address of a project's page says besides the project. */
export interface ProjectSearch {
  /** Of a new project: the repository that it is for. */
  repo?: string;
  /** A host that was refused, and is wanted in the list of allowed hosts. */
  allow?: string;
}

export const readProjectSearch = (search: Record<string, unknown>): ProjectSearch => ({
  ...(typeof search["repo"] === "string" && { repo: search["repo"] }),
  ...(typeof search["allow"] === "string" && { allow: search["allow"] }),
});
