import type { ForgeHost } from "../../config/forge-hosts.ts";
import { draftTitle } from "../draft-title.ts";
import { type Forge, ForgeError, type ForgeFault, type ForgeRepository } from "../forge.ts";
import { allPages, checkReply, firstOf } from "../replies.ts";
import { createRestCall } from "../rest.ts";
import { explained, type RestRefusal, unlessRefused } from "../rest-errors.ts";
import { checkGitlabCredential } from "./credential.ts";
import { decorate } from "./decorate.ts";
import { type GitlabClient, openGitlabClient } from "./gitlab-client.ts";
import {
  APPROVALS,
  MERGE_REQUEST,
  MERGE_REQUESTS,
  type MergeRequest,
  PROJECTS,
  REVIEWERS,
  STATUSES,
} from "./gitlab-replies.ts";
import { checksOf, obstacle, pullRequestOf, reviewsOf } from "./merge-request.ts";

/** Merge requests come with their descriptions, of up to a million characters each. */
const MERGE_REQUESTS_PAGE = 20;
const STATUSES_PAGE = 100;
const PROJECTS_PAGE = 100;
/** The least role that may push. */
const DEVELOPER = 30;
const SCOPES = "the scope api";
const DRAFT = { mark: "Draft: ", marked: /^(Draft:|\[Draft\]|\(Draft\))/i };

/** GitLab: its merge requests are the seam's pull requests, `iid` their number. */
export function openGitlabForge(host: ForgeHost): Forge {
  /** Runs one operation with its requests, and makes sentences of refusals. */
  const operation = <T>(
    what: string,
    signal: AbortSignal,
    work: (client: GitlabClient) => Promise<T>,
    faultOf?: (refusal: RestRefusal) => ForgeFault | undefined,
  ): Promise<T> =>
    explained({ host, what, scopes: SCOPES, ...(faultOf && { faultOf }) }, async () =>
      work(await openGitlabClient(createRestCall(host, { scheme: "Bearer", signal }))),
    );
  const show = async (
    client: GitlabClient,
    { path }: ForgeRepository,
    number: number,
  ): Promise<MergeRequest> => checkReply(MERGE_REQUEST, await client.mergeRequests.show(path, number), host);

  return {
    host,

    checkCredential: (signal) =>
      operation("sign in", signal, (client) => checkGitlabCredential(client, host)),

    listRepositories: (signal) => operation("list its projects", signal, (client) => listed(client)),

    findPullRequest: (repository, wanted, signal) =>
      operation(`find a merge request in ${repository.path}`, signal, async (client) => {
        const merge =
          (await newest(client, repository, { ...wanted, state: "opened" })) ??
          (await newest(client, repository, wanted));
        return merge && pullRequestOf(merge, { host, repository });
      }),

    createPullRequest: (repository, { title, body, head, base, draft }, signal) =>
      operation(
        `open a merge request in ${repository.path}`,
        signal,
        async (client) => {
          const titled = draftTitle(title, { draft, ...DRAFT });
          const reply = await client.mergeRequests.create(repository.path, head, base, titled, {
            description: body,
          });
          return pullRequestOf(checkReply(MERGE_REQUEST, reply, host), { host, repository });
        },
        ({ status }) => (status === 409 ? "exists" : undefined),
      ),

    decoratePullRequest: (repository, number, wanted, signal) =>
      operation(`read merge request ${number} of ${repository.path}`, signal, async (client) => {
        const merge = await show(client, repository, number);
        return decorate({ client, host, scopes: SCOPES, repository, merge, wanted });
      }),

    readPullRequest: (repository, number, signal) =>
      operation(`read merge request ${number} of ${repository.path}`, signal, async (client) => {
        const merge = await show(client, repository, number);
        const [checks, reviews] = await Promise.all([
          merge.sha ? readChecks(client, repository, merge, merge.sha) : [],
          readReviews(client, repository, number),
        ]);
        return { ...pullRequestOf(merge, { host, repository }), checks, reviews };
      }),

    async mergePullRequest(repository, number, { head, method }, signal) {
      const what = `merge request ${number} of ${repository.path}`;
      if (method === "rebase")
        throw new ForgeError(
          "invalid",
          `GitLab cannot merge ${what} by rebase when asked to: choose merge or squash, or set the project's merge method to fast-forward.`,
        );
      try {
        return await operation(`merge ${what}`, signal, merged, mergeFault);
      } catch (error) {
        if (!(error instanceof ForgeError && MERGE_FAULTS.includes(error.fault))) throw error;
        // GitLab does not say why. The merge request does, and whether a token is good that may not merge it.
        const merge = await operation(`read ${what}`, signal, (client) => show(client, repository, number));
        if (error.fault === "forbidden") throw error;
        throw new ForgeError("conflict", `${error.message} ${obstacle(merge)}`.trim());
      }

      async function merged({ mergeRequests }: GitlabClient): Promise<{ commit: string }> {
        const options = { sha: head, squash: method === "squash" };
        const reply = await mergeRequests.merge(repository.path, number, options);
        const { state, sha, merge_commit_sha, squash_commit_sha } = checkReply(MERGE_REQUEST, reply, host);
        // Without a commit of its own it was fast-forwarded.
        const commit = merge_commit_sha ?? squash_commit_sha ?? sha;
        if (state !== "merged" || !commit)
          throw new ForgeError(
            "unavailable",
            `${new URL(host.url).host} has taken the merge of ${what}, but has not made it yet.`,
          );
        return { commit };
      }
    },
  };

  async function listed({ projects }: GitlabClient) {
    const reply = await projects.all({
      ...{ membership: true, archived: false, minAccessLevel: DEVELOPER, simple: true },
      ...{ orderBy: "last_activity_at", sort: "desc", page: 1, perPage: PROJECTS_PAGE },
    });
    return checkReply(PROJECTS, reply, host).map(({ path_with_namespace, default_branch }) => ({
      path: path_with_namespace,
      defaultBranch: default_branch ?? null,
    }));
  }

  /** Those of forks from a branch of the same name are others: anybody may open them. */
  async function newest(
    { mergeRequests }: GitlabClient,
    { path }: ForgeRepository,
    { head, base, state }: { head: string; base: string; state?: "opened" },
  ): Promise<MergeRequest | undefined> {
    return firstOf(
      async (page) => {
        const reply = await mergeRequests.all({
          projectId: path,
          sourceBranch: head,
          targetBranch: base,
          ...(state && { state }),
          orderBy: "created_at",
          sort: "desc",
          page,
          perPage: MERGE_REQUESTS_PAGE,
        });
        return checkReply(MERGE_REQUESTS, reply, host);
      },
      (one) => one.source_project_id === one.target_project_id,
    );
  }

  /** Null: the token may not read them. */
  async function readChecks(
    { commits }: GitlabClient,
    { path }: ForgeRepository,
    merge: MergeRequest,
    commit: string,
  ) {
    const statuses = await allPages("statuses", async (page) => {
      // Of the newest jobs only. Gitbeaker's types forget the pages.
      const options = { all: false, page, perPage: STATUSES_PAGE };
      const reply = await commits.allStatuses(path, commit, options);
      const entries = checkReply(STATUSES, reply, host);
      const isLast = entries.length < STATUSES_PAGE;
      return { entries, total: isLast ? (page - 1) * STATUSES_PAGE + entries.length : undefined };
    }).catch(unlessRefused(403, 404));
    return statuses ? checksOf(statuses, merge) : null;
  }

  async function readReviews(
    { mergeRequests, approvals }: GitlabClient,
    { path }: ForgeRepository,
    number: number,
  ) {
    const [reviewers, given] = await Promise.all([
      mergeRequests.showReviewers(path, number),
      approvals.showConfiguration(path, { mergerequestIId: number }),
    ]);
    const { approved_by } = checkReply(APPROVALS, given, host);
    return reviewsOf(checkReply(REVIEWERS, reviewers, host), approved_by);
  }
}

const MERGE_FAULTS: readonly ForgeFault[] = ["conflict", "forbidden"];

/**
 * 405 and 422 (406 of older ones): not as it is. 409: its head has moved. 401: the token's user may not merge, or the token
 * is not good; GitLab says both in the same words.
 */
function mergeFault({ status }: RestRefusal): ForgeFault | undefined {
  if ([405, 406, 409, 422].includes(status)) return "conflict";
  return status === 401 ? "forbidden" : undefined;
}
