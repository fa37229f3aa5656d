/** A repository as people know it: without scheme, credentials and `.git`; of a folder on the service's machine, the last name. */
export function repoName(repo: string): string {
  const short = repo.replace(/^[a-z+]+:\/\/([^/@]*@)?/i, "").replace(/(\.git)?\/*$/, "");
  return short.startsWith("/") ? short.slice(short.lastIndexOf("/") + 1) : short;
}
