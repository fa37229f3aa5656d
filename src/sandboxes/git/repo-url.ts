import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "../../config/config.ts";
import { AppError, messageOf } from "../../shared/errors.ts";
import { allowedPath, type LocalRules } from "./local-path.ts";

/** Longest branch name, bytes: with ".lock" appended it must still fit into a file name. */
const BRANCH_BYTES = 200;

export interface RepoAddress {
  /** Passed to git: an https URL without credentials, or the real path of a folder. */
  url: string;
  /** Shown to users. */
  display: string;
  kind: "github" | "https" | "local";
}

export interface RepoRules {
  /** Base URL for owner/name, without a trailing slash. */
  githubUrl: string;
  /** Undefined: neither paths nor plain HTTP to this machine (OIDC). */
  local: LocalRules | undefined;
}

/** Users who sign in through an identity provider must not reach the paths of this machine. */
export function repoRules(
  config: Pick<Config, "githubUrl" | "auth" | "dataDir" | "localRepositories">,
): RepoRules {
  const { githubUrl, auth, dataDir, localRepositories: roots = [] } = config;
  return { githubUrl, local: auth.mode === "oidc" ? undefined : { roots, dataDir } };
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
export function parseRepo(text: string, { githubUrl, local }: RepoRules): RepoAddress {
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
    return { url: `${githubUrl}/${name}.git`, display: `${githubUrl}/${name}`, kind: "github" };
  }
  if (isAbsolute(text) || text.startsWith("file://")) {
    if (!local) return refuse("paths of this machine are not accepted here");
    return pathOf(text, local, refuse);
  }
  const url = URL.parse(text);
  const atGithub = url?.origin === URL.parse(githubUrl)?.origin;
  // Without TLS only to the operator's GITHUB_URL or to this machine.
  const plain = url?.protocol === "http:" && (atGithub || (local && LOOPBACK.test(url.hostname)));
  if (url && (url.protocol === "https:" || plain)) {
    if (url.username || url.password)
      refuse("must not carry a user or password; set GITHUB_TOKEN for the service instead");
    if (url.search || url.hash) refuse("must not have a query or fragment");
    if (url.pathname.split("/").filter(Boolean).length === 0) refuse("has a host but no repository");
    const display = url.href.replace(/\/+$/, "");
    return { url: display, display, kind: atGithub ? "github" : "https" };
  }
  return refuse("is not in a supported form");
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
  if (bad)
    throw new AppError(
      "invalid_branch",
      `${field}: ${JSON.stringify(name.slice(0, 100))} is not a valid branch name`,
    );
}

/**
 * Checks the branch that a session pushes to: nobody's work but the session's own may be there. The target branch is one
 * that others review and merge into.
 * @throws AppError `invalid_branch` with a sentence for the user.
 */
export function checkSessionBranch(branch: string, prefix: string, targetBranch?: string): void {
  checkBranchName(branch, "branch");
  const refuse = (why: string): never => {
    throw new AppError("invalid_branch", `branch: ${JSON.stringify(branch.slice(0, 100))} ${why}`);
  };
  if (!branch.startsWith(prefix) || branch === prefix) refuse(`must begin with ${prefix} (BRANCH_PREFIX)`);
  if (branch === targetBranch) refuse("must differ from target_branch");
}
