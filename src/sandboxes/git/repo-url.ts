import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "../../config/config.ts";
import type { ForgeHost } from "../../config/forge-hosts.ts";
import { type HostedRepository, hostedRepository } from "../../forges/hosts.ts";
import { AppError, messageOf } from "../../shared/errors.ts";
import { allowedPath, type LocalRules } from "./local-path.ts";
import { quotedName } from "./notices.ts";

/** Longest branch name, bytes: with ".lock" appended it must still fit into a file name. */
const BRANCH_BYTES = 200;

export interface RepoAddress {
  /** Passed to git: an https URL without credentials, or the real path of a folder. */
  url: string;
  /** Shown to users. */
  display: string;
  kind: "remote" | "local";
  /** Undefined: no host of the configuration has it, so that it can only be read, if everybody may. */
  hosted?: HostedRepository | undefined;
}

export interface RepoRules {
  /** Base URL for owner/name, without a trailing slash. */
  githubUrl: string;
  forges: readonly ForgeHost[];
  /** Undefined: neither paths nor plain HTTP to this machine (OIDC). */
  local: LocalRules | undefined;
}

/** Users who sign in through an identity provider must not reach the paths of this machine. */
export function repoRules(
  config: Pick<Config, "githubUrl" | "forges" | "auth" | "dataDir" | "localRepositories">,
): RepoRules {
  const { githubUrl, forges, auth, dataDir, localRepositories: roots = [] } = config;
  return { githubUrl, forges, local: auth.mode === "oidc" ? undefined : { roots, dataDir } };
}

const OWNER_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,38}\/[A-Za-z0-9._-]{1,100}$/;
const MAX_LENGTH = 2_000;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Parses a repository as users write it. Only known forms are accepted: git also understands transports that run
 * programs.
 * Paths are judged by where they lead now: check them again when they are used.
 * @throws AppError `invalid_repo` with a sentence for the user.
 */
export function parseRepo(text: string, rules: RepoRules): RepoAddress {
  const { githubUrl, forges, local } = rules;
  const forms = `owner/name, an https URL${local ? ", a path below LOCAL_REPOSITORIES" : ""}`;
  const refuse = (why: string): never => {
    throw new AppError("invalid_repo", `repo: ${why} (it may be ${forms})`);
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for control characters.
  if (text === "" || text.length > MAX_LENGTH || /[\u0000-\u0020\u007f]/.test(text))
    refuse("is empty, too long or contains white space");
  if (text.startsWith("-")) refuse("must not start with a dash");
  if (/(^|\/)\.\.(\/|$)/.test(text)) refuse('must not contain ".."');

  if (OWNER_NAME.test(text)) {
    const name = text.replace(/\.git$/, "");
    if (/\/\.{0,2}$/.test(name)) refuse("is not a valid repository name");
    const display = `${githubUrl}/${name}`;
    const hosted = hostedRepository(forges, display);
    return { url: `${display}.git`, display, kind: "remote", hosted };
  }
  if (isAbsolute(text) || text.startsWith("file://")) {
    if (!local) return refuse("paths of this machine are not accepted here");
    return pathOf(text, local, refuse);
  }
  const ssh = sshParts(text);
  if (ssh)
    return refuse(
      `is an SSH address, and the service reaches repositories over https${insteadOf(ssh, rules)}`,
    );
  const url = URL.parse(text);
  // Without TLS only to a host that the operator wrote so, or to this machine.
  const plain =
    url?.protocol === "http:" &&
    ((local && LOOPBACK.test(url.hostname)) || forges.some((one) => new URL(one.url).origin === url.origin));
  if (url && (url.protocol === "https:" || plain)) {
    if (url.username || url.password)
      refuse(
        "must not carry a user or password; whoever runs the service sets GITHUB_TOKEN, GITLAB_TOKEN or FORGES instead",
      );
    if (url.search || url.hash) refuse("must not have a query or fragment");
    if (url.pathname.split("/").filter(Boolean).length === 0) refuse("has a host but no repository");
    const display = url.href.replace(/\/+$/, "");
    return { url: display, display, kind: "remote", hosted: hostedRepository(forges, display) };
  }
  return refuse("is not in a supported form");
}

/** The host, port and path of an SSH address: ssh://git@host:22/path, or git@host:path. */
export function sshParts(text: string): { host: string; port: string; path: string } | undefined {
  const [, host, port = "", path] =
    /^(?:git\+)?ssh:\/\/(?:[^@/]*@)?([\w.-]+)(?::(\d+))?\/+(.+)$/i.exec(text) ??
    /^[^@/:]+@([\w.-]+)():\/*(.+)$/.exec(text) ??
    [];
  return host && path ? { host, port, path } : undefined;
}

/** What to write instead of an SSH address, as far as it tells: another port than SSH's own is that of another server. */
function insteadOf(
  { host, port, path }: { host: string; port: string; path: string },
  rules: RepoRules,
): string {
  const known = rules.forges.find(({ url }) => new URL(url).hostname === host.toLowerCase());
  if (!known && port !== "" && port !== "22") return "";
  try {
    return `: use ${parseRepo(`${known?.url ?? `https://${host}`}/${path}`, rules).display}`;
  } catch {
    return "";
  }
}

function pathOf(text: string, rules: LocalRules, refuse: (why: string) => never): RepoAddress {
  const path = text.startsWith("file://") ? decodedPath(text, refuse) : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for control characters.
  if (/[\u0000-\u001f\u007f]/.test(path)) return refuse("contains control characters");
  // Decoding can bring back a ".." that was refused above.
  if (path.split("/").includes("..")) return refuse('must not contain ".."');
  try {
    return { url: allowedPath(path, rules), display: path, kind: "local" };
  } catch (error) {
    return refuse(messageOf(error));
  }
}

function decodedPath(text: string, refuse: (why: string) => never): string {
  try {
    return fileURLToPath(text);
  } catch {
    return refuse("is not a valid file:// URL");
  }
}

/**
 * Checks a branch name by the rules of `git check-ref-format --branch`.
 * @throws AppError `invalid_branch` with a sentence for the user.
 */
export function checkBranchName(name: string, field = "target_branch"): void {
  const bad =
    name === "" ||
    Buffer.byteLength(name) > BRANCH_BYTES ||
    name === "@" ||
    name === "HEAD" ||
    name.startsWith("-") ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for control characters.
    /[\u0000-\u0020\u007f~^:?*[\\]/.test(name) ||
    /\.\.|@\{|\/\/|\.$|\/$|^\//.test(name) ||
    name.split("/").some((part) => part.startsWith(".") || part.endsWith(".lock"));
  if (bad) throw new AppError("invalid_branch", `${field}: ${quotedName(name)} is not a valid branch name`);
}

/**
 * Checks the branch that a session pushes to: nobody's work but the session's own may be there. The target branch is one
 * that others review and merge into.
 * @throws AppError `invalid_branch` with a sentence for the user.
 */
export function checkSessionBranch(branch: string, prefix: string, targetBranch?: string): void {
  checkBranchName(branch, "branch");
  const refuse = (why: string): never => {
    throw new AppError("invalid_branch", `branch: ${quotedName(branch)} ${why}`);
  };
  if (!branch.startsWith(prefix) || branch === prefix) refuse(`must begin with ${prefix} (BRANCH_PREFIX)`);
  if (branch === targetBranch) refuse("must differ from target_branch");
}
