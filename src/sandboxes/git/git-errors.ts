import type { RepoAddress } from "./repo-url.ts";

const UNREACHABLE =
  /could not resolve host|failed to connect|couldn't connect|connection (refused|timed out|reset)|network is unreachable|ssl|certificate|took longer|operation too slow/i;
const REFUSED =
  /not found|does not exist|authentication failed|could not read (username|password)|terminal prompts disabled|error: 40[134]|access denied|not a git repository|does not appear to be a git|permission/i;

/** Whether something of a repository's is locked, for a moment or by what a killed git has left behind. */
export const isLocked = (said: string): boolean =>
  /\.lock': File exists|cannot lock ref '.+': is at /i.test(said);

/** Whether git may well succeed a moment later, from what it said. */
export const isPassing = (said: string): boolean =>
  /no space left|failed to write|unable to write|could(n't| not) write|write error|write failed|error: 5\d\d|error: 429|early eof|remote end hung up|disk quota/i.test(
    said,
  ) ||
  isLocked(said) ||
  (UNREACHABLE.test(said) && !/certificate/i.test(said));

/** A sentence for the user from what git said when it tried to read a repository. */
export function readingFailed(address: RepoAddress, said: string, hasToken: boolean): string {
  const { display, kind } = address;
  if (kind === "local")
    return `There is no git repository at ${display} that this service can read (${said}).`;
  if (UNREACHABLE.test(said)) return `The host of ${display} could not be reached (${said}).`;
  if (!REFUSED.test(said)) return `The repository ${display} could not be read: ${said}.`;
  if (kind === "https")
    return `The repository ${display} does not exist, or it is private: credentials are only sent to GITHUB_URL.`;
  return hasToken
    ? `The repository ${display} does not exist, or GITHUB_TOKEN may not read it.`
    : `The repository ${display} does not exist, or it is private and the service needs a GITHUB_TOKEN for it.`;
}

/** Why a branch did not go where it should, from what git said. */
export function pushFailed(address: RepoAddress, said: string): string {
  const { display } = address;
  if (/\[rejected\]|non-fast-forward|fetch first/i.test(said))
    return `${display} refused it: the branch there has commits that this work lacks.`;
  if (UNREACHABLE.test(said)) return `${display} could not be reached (${said}).`;
  return `${display} refused it: ${said}.`;
}
