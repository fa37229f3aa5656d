import { ForgeError } from "../../forges/forge.ts";
import { credentialName, gitRight } from "../../forges/hosts.ts";
import type { RepoAddress } from "./repo-url.ts";

/**
 * Whose fault a failure is: `request`, if the repository, branch or credentials are wrong, so that a retry fails, too;
 * `machine` for a full disk or a lock; `git_host` and `sandbox` for what does not answer; `elsewhere` for what only another
 * machine has.
 */
export type Fault = "request" | "machine" | "git_host" | "sandbox" | "elsewhere";

/** Work on a repository failed; `message` is for the user. */
export class RepositoryError extends Error {
  override readonly name = "RepositoryError";
  constructor(
    message: string,
    options?: ErrorOptions,
    readonly fault: Fault = "request",
  ) {
    super(message, options);
  }

  /** Whether a retry may succeed. */
  get transient(): boolean {
    return this.fault !== "request";
  }
}

const UNREACHABLE =
  /could not resolve|name resolution|failed to connect|couldn't connect|can't complete socks5|connection (refused|timed out|reset|was reset)|network is unreachable|no route to host|operation timed out|empty reply|recv failure|ssl|gnutls|certificate|took longer|operation too slow/i;
const REFUSED =
  /not found|does not exist|authentication failed|could not read (username|password)|terminal prompts disabled|error: 40[134]|access denied|not a git repository|does not appear to be a git|permission/i;

/** Whether git failed because a file would be larger than $FILE_BLOCKS allows. */
export const saysTooLarge = (output: string): boolean => /file too large/i.test(output);

/** Whether git failed on a lock: one that is held for a moment, or one that a killed git left behind. */
export const isLocked = (output: string): boolean =>
  /\.lock': File exists|cannot lock ref '.+': is at |shallow file has changed/i.test(output);

const MACHINE =
  /no space left|failed to write|unable to write|could(n't| not) write|write error|write failed|disk quota/i;
/** Timeout, rate limit, and whatever is wrong with the server. */
const UNAVAILABLE = /error: (408|429|5\d\d)|early eof|remote end hung up|unexpected disconnect/i;

/** Stores have SHA-1. */
const OTHER_HASH = /does not support this repository's hash algorithm/i;

/** Whose fault a failure is, judged by git's output. @param remote what git talked to. */
export function faultIn(output: string, remote?: RepoAddress): Fault {
  if (MACHINE.test(output) || isLocked(output)) return "machine";
  if (OTHER_HASH.test(output)) return "request";
  const unreachable = UNREACHABLE.test(output) && !/certificate/i.test(output);
  if (!unreachable && !UNAVAILABLE.test(output)) return "request";
  return remote === undefined || remote.kind === "local" ? "machine" : "git_host";
}

/** Rethrows why a host gives no credential for git. */
export function credentialFailure(error: unknown): never {
  if (!(error instanceof ForgeError)) throw error;
  const mayPass = error.fault === "unavailable" || error.fault === "rate_limited";
  throw new RepositoryError(error.message, { cause: error }, mayPass ? "git_host" : "request");
}

/** What to set to have a credential for a repository. */
export function missingCredential({ url, hosted }: RepoAddress): string {
  const setting = hosted?.host.setting ?? "FORGES";
  return setting === "FORGES" ? `a token for ${new URL(url).host} in FORGES` : setting;
}

/** Whether a host has not accepted a credential, or has asked for one. */
export const isUnauthorised = (output: string): boolean => /authentication failed|error: 401/i.test(output);

/** Which credential a host has refused, and what it needs. */
function refusal(
  { hosted, display }: RepoAddress,
  output: string,
  access: "read" | "write",
): string | undefined {
  if (!hosted?.host.credential) return undefined;
  const name = credentialName(hosted.host);
  if (isUnauthorised(output)) return `${display} refused ${name}: it is wrong, has expired or was revoked.`;
  if (!/error: 403/i.test(output)) return undefined;
  return `${display} refused ${name}, which needs ${gitRight(hosted.host, access)} (${output}).`;
}

/** A sentence for the user about a repository that could not be read. */
export function readFailure(address: RepoAddress, output: string): string {
  const { display, kind, hosted } = address;
  if (kind === "local")
    return `There is no git repository at ${display} that this service can read (${output}).`;
  if (UNREACHABLE.test(output)) return `The host of ${display} could not be reached (${output}).`;
  if (UNAVAILABLE.test(output)) return `The host of ${display} is not available (${output}).`;
  if (!REFUSED.test(output)) return `The repository ${display} could not be read: ${output}.`;
  if (!hosted?.host.credential)
    return `The repository ${display} does not exist, or it is private and the service needs ${missingCredential(address)} for it.`;
  return (
    refusal(address, output, "read") ??
    `The repository ${display} does not exist, or ${credentialName(hosted.host)} may not read it.`
  );
}

/** A sentence for the user about a push that failed. */
export function pushFailure(address: RepoAddress, output: string): string {
  const { display } = address;
  if (/\[rejected\]|non-fast-forward|fetch first/i.test(output))
    return `${display} refused the push: its branch has commits that this work does not contain.`;
  if (OTHER_HASH.test(output))
    return `${display} is a repository with SHA-256, which the service does not support.`;
  if (UNREACHABLE.test(output)) return `${display} could not be reached (${output}).`;
  if (UNAVAILABLE.test(output)) return `the host of ${display} is not available (${output}).`;
  return refusal(address, output, "write") ?? `${display} refused the push: ${output}.`;
}
