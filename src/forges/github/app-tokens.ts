import type { ForgeCredential, ForgeHost } from "../../config/forge-hosts.ts";
import { Secret } from "../../shared/secret.ts";
import { unlessAborted } from "../../shared/time.ts";
import { ForgeError } from "../forge.ts";
import { checkReply, type Doing, githubError } from "./github-errors.ts";
import { openOctokit } from "./octokit.ts";
import { INSTALLATION, INSTALLATION_TOKEN, type Installation } from "./replies.ts";

export type Level = "read" | "write";
type Permissions = Readonly<Record<string, Level>>;

/** Permissions of an app's token. */
export interface Needs {
  required: Permissions;
  /** Asked for where the app has them. */
  optional?: Permissions;
}

/**
 * Who pushes a change of a workflow needs `workflows`, and so does who merges one. A workflow runs with the repository's
 * secrets as soon as it is pushed, so that this is the operator's to decide: by granting it to the app, or not.
 */
export const WORKFLOWS: Permissions = { workflows: "write" };

const GIT_NEEDS: Readonly<Record<Level, Needs>> = {
  read: { required: { contents: "read" } },
  write: { required: { contents: "write" }, optional: WORKFLOWS },
};

type App = Extract<ForgeCredential, { kind: "app" }>;

/**
 * A token of a GitHub App for git, for this repository alone. It lasts an hour and is kept nowhere: who needs one for longer
 * asks again.
 * @param path of the repository: owner/name.
 * @throws ForgeError
 */
export const mintGitToken = (
  { host, app }: { host: ForgeHost; app: App },
  path: string,
  access: Level,
  signal: AbortSignal,
): Promise<Secret> => mintAppToken({ host, app }, path, GIT_NEEDS[access], signal);

/** A token of a GitHub App for this repository and these permissions alone. @throws ForgeError */
export async function mintAppToken(
  { host, app }: { host: ForgeHost; app: App },
  path: string,
  needs: Needs,
  signal: AbortSignal,
): Promise<Secret> {
  const [owner = "", repo = ""] = path.split("/");
  const doing: Doing = {
    host: new URL(host.url).host,
    what: `sign in as the GitHub App ${app.appId} for ${path}`,
    credential: "app",
  };
  const octokit = openOctokit(host, app, signal);
  await octokit.auth({ type: "app" }).catch(() => {
    // Without the cause: what a library says of a key may quote it.
    throw new ForgeError(
      "unauthorised",
      `The service could not ${doing.what}: its private key cannot be read. Set GITHUB_APP_PRIVATE_KEY to the PEM file that GitHub made for the app.`,
    );
  });
  const asApp = async <T>(work: Promise<T>, onMissing: string): Promise<T> => {
    try {
      return await unlessAborted(work, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw appError(githubError(error, doing), doing, onMissing);
    }
  };

  const found = await asApp(
    octokit.request("GET /repos/{owner}/{repo}/installation", { owner, repo }),
    `The GitHub App ${app.appId} is not installed for ${path}, or there is no such repository: install it there, at ${doing.host}.`,
  );
  const installation = checkReply(INSTALLATION, found, doing);
  const permissions = granted(installation, needs, { app, path });
  const made = await asApp(
    octokit.request("POST /app/installations/{installation_id}/access_tokens", {
      installation_id: installation.id,
      repositories: [repo],
      permissions,
    }),
    `The GitHub App ${app.appId} was removed from ${path}: install it there, at ${doing.host}.`,
  );
  const { token, repositories } = checkReply(INSTALLATION_TOKEN, made, doing);
  if (repositories && repositories.length !== 1)
    throw new ForgeError(
      "unavailable",
      `${doing.host} made a token for other repositories than ${path}; it is not used.`,
    );
  return new Secret(token);
}

/** The permissions to ask for. @throws ForgeError for those that the app lacks. */
function granted(
  installation: Installation,
  { required, optional = {} }: Needs,
  { app, path }: { app: App; path: string },
): Permissions {
  const has = ([name, level]: [string, Level]) => {
    const held = installation.permissions[name];
    return held === level || (level === "read" && (held === "write" || held === "admin"));
  };
  const name = `The GitHub App ${app.appId}`;
  if (installation.suspended_at)
    throw new ForgeError("forbidden", `${name} is suspended for ${path}: its owner must resume it there.`);
  const missing = Object.entries(required).filter((one) => !has(one));
  if (missing.length > 0)
    throw new ForgeError(
      "forbidden",
      `${name} lacks the permission ${missing.map((one) => one.join("=")).join(", ")} for ${path}: grant it in the app's ` +
        "settings, and accept the change where it is installed.",
    );
  return { ...required, ...Object.fromEntries(Object.entries(optional).filter(has)) };
}

/** What the app itself does wrong has its own sentences: nobody but the operator can mend it. */
function appError(error: unknown, { host, what }: Doing, onMissing: string): unknown {
  if (!(error instanceof ForgeError)) return error;
  if (error.fault === "missing") return new ForgeError("missing", onMissing);
  if (error.fault !== "unauthorised") return error;
  return new ForgeError(
    "unauthorised",
    `${host} does not accept the signature with which to ${what}: the private key is not this app's, the app's id is wrong, or ` +
      "the clock of this machine is.",
  );
}
