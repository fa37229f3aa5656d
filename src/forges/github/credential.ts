import { RequestError } from "@octokit/request-error";
import type { ForgeCredential, ForgeHost } from "../../config/forge-hosts.ts";
import { unlessAborted } from "../../shared/time.ts";
import type { CredentialReport } from "../forge.ts";
import { type App, lackedOf, openAsApp } from "./as-app.ts";
import { checkGithubReply, githubError } from "./github-errors.ts";
import { openOctokit } from "./octokit.ts";
import { APP, USER } from "./replies.ts";

/** What an app needs for all that the service does; what it may do without is not asked for. */
const REQUIRED = { contents: "write", pull_requests: "write" };

/** @throws ForgeError */
export const checkGithubCredential = (host: ForgeHost, signal: AbortSignal): Promise<CredentialReport> =>
  host.credential?.kind === "app"
    ? checkApp(host, host.credential, signal)
    : checkToken(host, host.credential, signal);

async function checkApp(host: ForgeHost, app: App, signal: AbortSignal): Promise<CredentialReport> {
  const doing = { host, what: `sign in as the GitHub App ${app.appId}` };
  const ask = await openAsApp({ host, app }, doing, signal);
  const reply = await ask(
    (octokit) => octokit.request("GET /app"),
    `There is no GitHub App ${app.appId} at ${new URL(host.url).host}: check the app's id.`,
  );
  const { slug, name, permissions, installations_count } = checkGithubReply(APP, reply, doing);
  return {
    owner: slug ?? name,
    lacks: [
      ...lackedOf(permissions, REQUIRED).map((one) => `the permission ${one}`),
      ...(installations_count === 0 ? ["an installation, without which it may see no repository"] : []),
    ],
  };
}

async function checkToken(
  host: ForgeHost,
  credential: Exclude<ForgeCredential, App> | undefined,
  signal: AbortSignal,
): Promise<CredentialReport> {
  const doing = { host, what: "sign in" };
  try {
    const reply = await unlessAborted(openOctokit(host, credential, signal).request("GET /user"), signal);
    const { login } = checkGithubReply(USER, reply, doing);
    return { owner: login, lacks: lackedScopes(reply.headers["x-oauth-scopes"]) };
  } catch (error) {
    signal.throwIfAborted();
    // A token of an installation is no user's, as that of GitHub Actions.
    if (
      error instanceof RequestError &&
      error.status === 403 &&
      /not accessible by integration/i.test(error.message)
    )
      return { owner: null, lacks: [] };
    throw githubError(error, doing);
  }
}

/** @param scopes of a classic token; those of the others are not told, or are empty. */
function lackedScopes(scopes: string | undefined): readonly string[] {
  const held = scopes?.split(/[\s,]+/).filter(Boolean) ?? [];
  if (held.length === 0 || held.includes("repo")) return [];
  return [
    `the scope repo${held.includes("public_repo") ? ", without which it sees public repositories alone" : ""}`,
  ];
}
