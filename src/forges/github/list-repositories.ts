import type { ForgeHost } from "../../config/forge-hosts.ts";
import { Secret } from "../../shared/secret.ts";
import { unlessAborted } from "../../shared/time.ts";
import type { ListedRepository } from "../forge.ts";
import { type App, openAsApp } from "./as-app.ts";
import { checkGithubReply, type Doing, githubError } from "./github-errors.ts";
import { type GithubIdentity, openOctokit } from "./octokit.ts";
import {
  INSTALLATION_TOKEN,
  INSTALLATIONS,
  INSTALLED_REPOSITORIES,
  REPOSITORIES,
  type Repository,
} from "./replies.ts";

/** GitHub's largest page, which is all that is read of a list, and the most that is suggested. */
const LISTED = 100;
/** An app may be installed by anybody who finds it. */
const INSTALLATIONS_READ = 5;

/** @throws ForgeError */
export async function listGithubRepositories(
  host: ForgeHost,
  signal: AbortSignal,
  onPartFailed: (error: unknown) => void,
): Promise<readonly ListedRepository[]> {
  const { credential } = host;
  const found =
    credential?.kind === "app"
      ? await ofApp({ host, app: credential }, signal, onPartFailed)
      : await ofUser(host, credential, signal);
  return found
    .filter(({ archived = false, permissions }) => !archived && permissions?.push !== false)
    .map(({ full_name, default_branch }) => ({ path: full_name, defaultBranch: default_branch }));
}

async function ofUser(
  host: ForgeHost,
  identity: GithubIdentity,
  signal: AbortSignal,
): Promise<readonly Repository[]> {
  const doing = { host, what: "list the repositories of its user" };
  const query = { sort: "pushed", direction: "desc", per_page: LISTED } as const;
  const reply = await asked(
    openOctokit(host, identity, signal).request("GET /user/repos", query),
    doing,
    signal,
  );
  return checkGithubReply(REPOSITORIES, reply, doing);
}

/** Those of its first installations, of which one that fails leaves out its own. GitHub cannot sort these lists. */
async function ofApp(
  { host, app }: { host: ForgeHost; app: App },
  signal: AbortSignal,
  onPartFailed: (error: unknown) => void,
): Promise<readonly Repository[]> {
  const doing = { host, what: `list the repositories of the GitHub App ${app.appId}` };
  const ask = await openAsApp({ host, app }, doing, signal);
  const reply = await ask(
    (octokit) => octokit.request("GET /app/installations", { per_page: INSTALLATIONS_READ }),
    `The GitHub App ${app.appId} is not there any more.`,
  );
  const active = checkGithubReply(INSTALLATIONS, reply, doing).filter(({ suspended_at }) => !suspended_at);
  const lists = await Promise.allSettled(
    active.map(async ({ id }) => {
      const made = await ask(
        (octokit) =>
          octokit.request("POST /app/installations/{installation_id}/access_tokens", {
            installation_id: id,
            // Enough to be told their names.
            permissions: { metadata: "read" },
          }),
        `The installation ${id} of the GitHub App ${app.appId} is not there any more.`,
      );
      const { token } = checkGithubReply(INSTALLATION_TOKEN, made, doing);
      const octokit = openOctokit(host, { token: new Secret(token) }, signal);
      const listed = octokit.request("GET /installation/repositories", { per_page: LISTED });
      return checkGithubReply(INSTALLED_REPOSITORIES, await asked(listed, doing, signal), doing).repositories;
    }),
  );
  const found = lists.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failures = lists.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  if (found.length === 0 && failures.length > 0) throw failures[0];
  for (const failure of failures) onPartFailed(failure);
  return found
    .flat()
    .toSorted((one, other) => (other.pushed_at ?? "").localeCompare(one.pushed_at ?? ""))
    .slice(0, LISTED);
}

async function asked<T>(request: Promise<T>, doing: Doing, signal: AbortSignal): Promise<T> {
  try {
    return await unlessAborted(request, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw githubError(error, doing);
  }
}
