import type { ForgeHost } from "../../config/forge-hosts.ts";
import { Secret } from "../../shared/secret.ts";
import { ForgeError } from "../forge.ts";
import { type App, isGranted, lackedOf, openAsApp } from "./as-app.ts";
import { checkGithubReply } from "./github-errors.ts";
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
  const doing = { host, what: `sign in as the GitHub App ${app.appId} for ${path}` };
  const name = new URL(host.url).host;
  const ask = await openAsApp({ host, app }, doing, signal);

  const found = await ask(
    (octokit) => octokit.request("GET /repos/{owner}/{repo}/installation", { owner, repo }),
    `The GitHub App ${app.appId} is not installed for ${path}, or there is no such repository: install it there, at ${name}.`,
  );
  const installation = checkGithubReply(INSTALLATION, found, doing);
  const permissions = granted(installation, needs, { app, path });
  const made = await ask(
    (octokit) =>
      octokit.request("POST /app/installations/{installation_id}/access_tokens", {
        installation_id: installation.id,
        repositories: [repo],
        permissions,
      }),
    `The GitHub App ${app.appId} was removed from ${path}: install it there, at ${name}.`,
  );
  const { token, repositories } = checkGithubReply(INSTALLATION_TOKEN, made, doing);
  if (repositories && repositories.length !== 1)
    throw new ForgeError(
      "unavailable",
      `${name} made a token for other repositories than ${path}; it is not used.`,
    );
  return new Secret(token);
}

/** The permissions to ask for. @throws ForgeError for those that the app lacks. */
function granted(
  installation: Installation,
  { required, optional = {} }: Needs,
  { app, path }: { app: App; path: string },
): Permissions {
  const name = `The GitHub App ${app.appId}`;
  if (installation.suspended_at)
    throw new ForgeError("forbidden", `${name} is suspended for ${path}: its owner must resume it there.`);
  const missing = lackedOf(installation.permissions, required);
  if (missing.length > 0)
    throw new ForgeError(
      "forbidden",
      `${name} lacks the permission ${missing.join(", ")} for ${path}: grant it in the app's ` +
        "settings, and accept the change where it is installed.",
    );
  return {
    ...required,
    ...Object.fromEntries(Object.entries(optional).filter((one) => isGranted(installation.permissions, one))),
  };
}
