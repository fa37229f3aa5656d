import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "../../shared/errors.ts";

/** Longest branch name, bytes; with ".lock" it must still be a file's name. */
const BRANCH_BYTES = 200;

export interface RepoAddress {
  /** What git is given: an https URL without credentials, or an absolute path. */
  url: string;
  /** What people are shown. */
  display: string;
  kind: "github" | "https" | "local";
}

const OWNER_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,38}\/[A-Za-z0-9._-]{1,100}$/;
const MAX_LENGTH = 2_000;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Reads a repository as users write it. Everything that is not one of the known forms is refused: git itself
 * understands transports that run programs.
 * @param options.githubUrl where owner/name lives; no trailing slash.
 * @param options.allowLocal whether an absolute path or file:// URL is welcome (local modes only).
 * @throws AppError `invalid` with a sentence for the user.
 */
export function parseRepo(text: string, options: { githubUrl: string; allowLocal: boolean }): RepoAddress {
  const { githubUrl, allowLocal } = options;
  const forms = `owner/name, an https URL${allowLocal ? ", an absolute path" : ""}`;
  const refuse = (why: string): never => {
    throw new AppError("invalid_repo", `repo: ${why} (it may be ${forms})`);
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (text === "" || text.length > MAX_LENGTH || /[\u0000-\u0020\u007f]/.test(text))
    refuse("is empty, too long or has white space");
  if (text.startsWith("-")) refuse("must not start with a dash");
  if (/(^|\/)\.\.(\/|$)/.test(text)) refuse('must not contain ".."');

  if (OWNER_NAME.test(text)) {
    const name = text.replace(/\.git$/, "");
    if (/\/\.{0,2}$/.test(name)) refuse("that is not a repository's name");
    return { url: `${githubUrl}/${name}.git`, display: `${githubUrl}/${name}`, kind: "github" };
  }
  if (isAbsolute(text) || text.startsWith("file://")) {
    if (!allowLocal) refuse("paths of this machine are not accepted here");
    return local(text, refuse);
  }
  const url = URL.parse(text);
  const atGithub = url?.origin === URL.parse(githubUrl)?.origin;
  // Without TLS only to where the operator says, or to this machine itself.
  const plain = url?.protocol === "http:" && (atGithub || (allowLocal && LOOPBACK.test(url.hostname)));
  if (url && (url.protocol === "https:" || plain)) {
    if (url.username || url.password)
      refuse("must not carry a user or password; set GITHUB_TOKEN for the service instead");
    if (url.search || url.hash) refuse("must not have a query or fragment");
    if (url.pathname.split("/").filter(Boolean).length === 0) refuse("names a host but no repository");
    const display = url.href.replace(/\/+$/, "");
    return { url: display, display, kind: atGithub ? "github" : "https" };
  }
  return refuse("is not in a form that is understood");
}

function local(text: string, refuse: (why: string) => never): RepoAddress {
  try {
    const path = text.startsWith("file://") ? fileURLToPath(text) : text;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
    if (/[\u0000-\u001f\u007f]/.test(path)) return refuse("has control characters");
    // An encoded slash or dot can bring back what was refused above.
    if (path.split("/").includes("..")) return refuse('must not contain ".."');
    return { url: path, display: path, kind: "local" };
  } catch (error) {
    if (error instanceof AppError) throw error;
    return refuse("is not a usable file:// URL");
  }
}

/**
 * Checks a branch name by the rules of `git check-ref-format --branch`.
 * @throws AppError `invalid` with a sentence for the user.
 */
export function checkBranchName(name: string, field = "target_branch"): void {
  const bad =
    name === "" ||
    Buffer.byteLength(name) > BRANCH_BYTES ||
    name === "@" ||
    name === "HEAD" ||
    name.startsWith("-") ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
    /[\u0000-\u0020\u007f~^:?*[\\]/.test(name) ||
    /\.\.|@\{|\/\/|\.$|\/$|^\//.test(name) ||
    name.split("/").some((part) => part.startsWith(".") || part.endsWith(".lock"));
  if (bad)
    throw new AppError(
      "invalid_branch",
      `${field}: ${JSON.stringify(name.slice(0, 100))} is not a valid branch name`,
    );
}
