import type { RepoAddress } from "./repo-url.ts";

/** The repository, branch or credentials are wrong; `message` is for the user. */
export class RepositoryError extends Error {
  override readonly name = "RepositoryError";
  /** @param transient whether a retry may succeed: a network failure, a server that is down, a full disk. */
  constructor(
    message: string,
    options?: ErrorOptions,
    readonly transient = false,
  ) {
    super(message, options);
  }
}

const UNREACHABLE =
  /could not resolve host|failed to connect|couldn't connect|can't complete socks5|connection (refused|timed out|reset)|network is unreachable|ssl|certificate|took longer|operation too slow/i;
const REFUSED =
  /not found|does not exist|authentication failed|could not read (username|password)|terminal prompts disabled|error: 40[134]|access denied|not a git repository|does not appear to be a git|permission/i;

/** Whether git failed on a lock: one that is held for a moment, or one that a killed git left behind. */
export const isLocked = (output: string): boolean =>
  /\.lock': File exists|cannot lock ref '.+': is at /i.test(output);

/** Whether a retry may succeed, judged by git's output. */
export const isTransient = (output: string): boolean =>
  /no space left|failed to write|unable to write|could(n't| not) write|write error|write failed|error: 5\d\d|error: 429|early eof|remote end hung up|disk quota/i.test(
    output,
  ) ||
  isLocked(output) ||
  (UNREACHABLE.test(output) && !/certificate/i.test(output));

/** A sentence for the user about a repository that could not be read. */
export function readFailure(address: RepoAddress, output: string, hasToken: boolean): string {
  const { display, kind } = address;
  if (kind === "local")
    return `There is no git repository at ${display} that this service can read (${output}).`;
  if (UNREACHABLE.test(output)) return `The host of ${display} could not be reached (${output}).`;
  if (!REFUSED.test(output)) return `The repository ${display} could not be read: ${output}.`;
  if (kind === "https")
    return `The repository ${display} does not exist, or it is private: credentials are only sent to GITHUB_URL.`;
  return hasToken
    ? `The repository ${display} does not exist, or GITHUB_TOKEN may not read it.`
    : `The repository ${display} does not exist, or it is private and the service needs a GITHUB_TOKEN for it.`;
}

/** A sentence for the user about a push that failed. */
export function pushFailure(address: RepoAddress, output: string): string {
  const { display } = address;
  if (/\[rejected\]|non-fast-forward|fetch first/i.test(output))
    return `${display} refused the push: its branch has commits that this work does not contain.`;
  if (UNREACHABLE.test(output)) return `${display} could not be reached (${output}).`;
  return `${display} refused the push: ${output}.`;
}
