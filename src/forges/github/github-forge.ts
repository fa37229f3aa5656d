import type { ForgeHost } from "../../config/forge-hosts.ts";
import { type Check, type Forge, ForgeError, type ForgeRepository, type PullRequest } from "../forge.ts";
import { type Needs, WORKFLOWS } from "./app-tokens.ts";
import { checkGithubCredential } from "./credential.ts";
import { decorate } from "./decorate.ts";
import { allOf, type GithubCall, openGithubCall } from "./github-call.ts";
import { listGithubRepositories } from "./list-repositories.ts";
import { checkOfRun, checkOfStatus, pullRequestOf, reviewsOf } from "./pull-state.ts";
import { CHECK_RUNS, MERGED, PULL, PULL_DETAIL, PULLS, REVIEWS, STATUSES } from "./replies.ts";

const NEEDS = {
  find: { required: { pull_requests: "read" } },
  create: { required: { pull_requests: "write" } },
  decorate: { required: { pull_requests: "write" } },
  read: { required: { pull_requests: "read" }, optional: { checks: "read", statuses: "read" } },
  merge: { required: { contents: "write", pull_requests: "write" }, optional: WORKFLOWS },
} as const satisfies Record<string, Needs>;

/** Pull requests of one branch that are looked through: forks of one owner may have the same branch. */
const FOUND = 30;

/** github.com, or a GitHub Enterprise Server. */
export function openGithubForge(host: ForgeHost): Forge {
  const shown = (repository: ForgeRepository) => ({ host, repository });

  return {
    host,
    checkCredential: (signal) => checkGithubCredential(host, signal),
    listRepositories: (signal, onPartFailed) => listGithubRepositories(host, signal, onPartFailed),

    async findPullRequest(repository, { head, base }, signal) {
      const call = await openGithubCall(host, repository, NEEDS.find, signal);
      for (const state of ["open", "closed"] as const) {
        const pulls = await call.ask(`look for a pull request from ${head} into ${base}`, PULLS, (octokit) =>
          octokit.request("GET /repos/{owner}/{repo}/pulls", {
            ...call.at,
            state,
            head: `${call.at.owner}:${head}`,
            base,
            sort: "created",
            direction: "desc",
            per_page: FOUND,
          }),
        );
        // GitHub ignores a filter that it does not understand.
        const pull = pulls.find(
          (one) => one.head.ref === head && one.base.ref === base && one.head.repo?.id === one.base.repo.id,
        );
        if (pull) return pullRequestOf(pull, shown(repository));
      }
      return undefined;
    },

    async createPullRequest(repository, draft, signal) {
      const call = await openGithubCall(host, repository, NEEDS.create, signal);
      const pull = await call.ask(
        `create a pull request from ${draft.head} into ${draft.base}`,
        PULL,
        (octokit) => octokit.request("POST /repos/{owner}/{repo}/pulls", { ...call.at, ...draft }),
      );
      return pullRequestOf(pull, shown(repository));
    },

    async decoratePullRequest(repository, number, wanted, signal) {
      if (wanted.labels.length + wanted.reviewers.length === 0) return [];
      const call = await openGithubCall(host, repository, NEEDS.decorate, signal);
      const pull = await readPull(call, number);
      return decorate(call, { pull, reviews: await readReviews(call, number), repository }, wanted);
    },

    async readPullRequest(repository, number, signal) {
      const call = await openGithubCall(host, repository, NEEDS.read, signal);
      const pull = await readPull(call, number);
      const [checks, reviews] = await Promise.all([
        readChecks(call, pull.head.sha),
        readReviews(call, number),
      ]);
      return {
        ...pullRequestOf(pull, shown(repository)),
        checks,
        reviews: reviewsOf(pull, reviews, repository),
      };
    },

    async mergePullRequest(repository, number, { head, method }, signal) {
      const call = await openGithubCall(host, repository, NEEDS.merge, signal);
      const { sha } = await call.ask(`merge pull request ${number}`, MERGED, (octokit) =>
        octokit.request("PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge", {
          ...call.at,
          pull_number: number,
          sha: head,
          merge_method: method,
        }),
      );
      return { commit: sha };
    },
  };
}

const readPull = (call: GithubCall, number: number) =>
  call.ask(`read pull request ${number}`, PULL_DETAIL, (octokit) =>
    octokit.request("GET /repos/{owner}/{repo}/pulls/{pull_number}", { ...call.at, pull_number: number }),
  );

const readReviews = (call: GithubCall, number: number) =>
  allOf("reviews", (paging) =>
    call.ask(`read the reviews of pull request ${number}`, REVIEWS, (octokit) =>
      octokit.request("GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews", {
        ...call.at,
        pull_number: number,
        ...paging,
      }),
    ),
  );

/** Check runs and commit statuses. Null: the credential may not read one of them, and half of them would mislead. */
async function readChecks(call: GithubCall, ref: string): Promise<PullRequest["checks"]> {
  const what = `read the checks of ${ref}`;
  const lists: readonly Promise<readonly Check[]>[] = [
    allOf("checks", async (paging) => {
      const { check_runs } = await call.ask(what, CHECK_RUNS, (octokit) =>
        octokit.request("GET /repos/{owner}/{repo}/commits/{ref}/check-runs", { ...call.at, ref, ...paging }),
      );
      return check_runs.map(checkOfRun);
    }),
    allOf("statuses", async (paging) => {
      const { statuses } = await call.ask(what, STATUSES, (octokit) =>
        octokit.request("GET /repos/{owner}/{repo}/commits/{ref}/status", { ...call.at, ref, ...paging }),
      );
      return statuses.map(checkOfStatus);
    }),
  ];
  try {
    return (await Promise.all(lists)).flat();
  } catch (error) {
    if (error instanceof ForgeError && error.fault === "forbidden") return null;
    throw error;
  }
}
