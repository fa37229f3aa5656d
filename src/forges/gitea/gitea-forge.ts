import type { ForgeHost } from "../../config/forge-hosts.ts";
import { draftTitle } from "../draft-title.ts";
import { type Forge, ForgeError, type ForgeFault, type ForgeRepository } from "../forge.ts";
import { allPages, checkReply, firstOf } from "../replies.ts";
import { createRestCall, type RestCall } from "../rest.ts";
import { explained, RestRefusal, unlessRefused } from "../rest-errors.ts";
import { decorate } from "./decorate.ts";
import { COMBINED_STATUS, PULL, PULLS, type Pull, REVIEWS, USER } from "./gitea-replies.ts";
import { listRepositories } from "./list-repositories.ts";
import { checkOf, pullRequestOf, reviewsOf } from "./pull-state.ts";

/** The host's own limit; it may send less. */
const PAGE_SIZE = 50;
const SCOPES = "the scopes write:repository and write:issue";
/** What an installation of Gitea takes for a draft by default. */
const DRAFT = { mark: "WIP: ", marked: /^(WIP:|\[WIP\])/i };

/** Gitea, and Forgejo, whose API is the same in what is used of it. */
export function openGiteaForge(host: ForgeHost): Forge {
  /** Runs one operation with its requests, and makes sentences of refusals. */
  const operation = <T>(
    what: string,
    signal: AbortSignal,
    work: (call: RestCall) => Promise<T>,
    faultOf?: (refusal: RestRefusal) => ForgeFault | undefined,
  ): Promise<T> =>
    explained({ host, what, scopes: SCOPES, ...(faultOf && { faultOf }) }, () =>
      work(createRestCall(host, { scheme: "token", signal })),
    );
  const readPull = async (call: RestCall, repository: ForgeRepository, number: number): Promise<Pull> =>
    checkReply(PULL, (await call({ path: `${apiPath(repository)}/pulls/${number}` })).body, host);

  return {
    host,

    checkCredential: (signal) =>
      operation("sign in", signal, async (call) => {
        const reply = await call({ path: "user" }).catch((error: unknown) => {
          // A token for repositories may not read its own user. Which scopes it has, the host does not tell.
          if (error instanceof RestRefusal && error.status === 403 && /required scope/i.test(error.said))
            return undefined;
          throw error;
        });
        return { owner: reply ? checkReply(USER, reply.body, host).login : null, lacks: [] };
      }),

    listRepositories: (signal) =>
      operation("list the repositories of its user", signal, (call) => listRepositories(call, host)),

    findPullRequest: (repository, wanted, signal) =>
      operation(`find a pull request in ${repository.path}`, signal, async (call) => {
        const pull =
          (await openPull(call, repository, wanted)) ?? (await closedPull(call, repository, wanted));
        return pull && pullRequestOf(pull, { host, repository });
      }),

    createPullRequest: (repository, { title, body, head, base, draft }, signal) =>
      operation(
        `open a pull request in ${repository.path}`,
        signal,
        async (call) => {
          const { body: reply } = await call({
            method: "POST",
            path: `${apiPath(repository)}/pulls`,
            body: { title: draftTitle(title, { draft, ...DRAFT }), body, head, base },
          });
          return pullRequestOf(checkReply(PULL, reply, host), { host, repository });
        },
        ({ status }) => (status === 409 ? "exists" : undefined),
      ),

    decoratePullRequest: (repository, number, wanted, signal) =>
      operation(`read pull request ${number} of ${repository.path}`, signal, async (call) => {
        const pull = await readPull(call, repository, number);
        const reviews = wanted.reviewers.length > 0 ? await readReviews(call, repository, number) : [];
        const path = apiPath(repository);
        return decorate({ call, host, scopes: SCOPES, repository, path, pull, reviews, wanted });
      }),

    readPullRequest: (repository, number, signal) =>
      operation(`read pull request ${number} of ${repository.path}`, signal, async (call) => {
        const pull = await readPull(call, repository, number);
        const [checks, reviews] = await Promise.all([
          pull.head.sha ? readChecks(call, repository, pull.head.sha) : [],
          readReviews(call, repository, number),
        ]);
        return { ...pullRequestOf(pull, { host, repository }), checks, reviews };
      }),

    mergePullRequest: (repository, number, { head, method }, signal) =>
      operation(
        `merge pull request ${number} of ${repository.path}`,
        signal,
        async (call) => {
          await call({
            method: "POST",
            path: `${apiPath(repository)}/pulls/${number}/merge`,
            // The branch stays: deleting it is not what was asked, whatever the repository's default.
            body: { do: method, head_commit_id: head, delete_branch_after_merge: false },
          });
          const { merge_commit_sha: commit } = await readPull(call, repository, number);
          if (!commit)
            throw new ForgeError(
              "unavailable",
              `${new URL(host.url).host} has taken the merge of pull request ${number} of ${repository.path}, but does not say which commit it made.`,
            );
          return { commit };
        },
        mergeFault,
      ),
  };

  /** The host looks for it: pull requests of forks from a branch of the same name are others. */
  async function openPull(
    call: RestCall,
    repository: ForgeRepository,
    { head, base }: { head: string; base: string },
  ): Promise<Pull | undefined> {
    const path = `${apiPath(repository)}/pulls/${encodeURIComponent(base)}/${encodeURIComponent(head)}`;
    const reply = await call({ path }).catch(unlessRefused(404));
    return reply && checkReply(PULL, reply.body, host);
  }

  /** The newest of them. There is no search by branch: of a repository with thousands, only the newest are looked at. */
  async function closedPull(
    call: RestCall,
    repository: ForgeRepository,
    { head, base }: { head: string; base: string },
  ): Promise<Pull | undefined> {
    return firstOf(
      async (page) => {
        // base_branch is younger than the rest, and older hosts ignore it.
        const query = { state: "closed", base_branch: base, page, limit: PAGE_SIZE };
        const { body } = await call({ path: `${apiPath(repository)}/pulls`, query });
        return checkReply(PULLS, body, host);
      },
      (pull) => pull.head.label === head && pull.head.repo_id === pull.base.repo_id && pull.base.ref === base,
    );
  }

  /** Null: the token may not read them. */
  async function readChecks(call: RestCall, repository: ForgeRepository, commit: string) {
    const statuses = await allPages("statuses", async (page) => {
      const path = `${apiPath(repository)}/commits/${commit}/status`;
      const { body } = await call({ path, query: { page, limit: PAGE_SIZE } });
      const { statuses: entries, total_count: total } = checkReply(COMBINED_STATUS, body, host);
      return { entries: entries ?? [], total };
    }).catch(unlessRefused(403, 404));
    return statuses?.map(checkOf) ?? null;
  }

  async function readReviews(call: RestCall, repository: ForgeRepository, number: number) {
    const given = await allPages("reviews", async (page) => {
      const path = `${apiPath(repository)}/pulls/${number}/reviews`;
      const { body, headers } = await call({ path, query: { page, limit: PAGE_SIZE } });
      const total = headers.get("x-total-count");
      return { entries: checkReply(REVIEWS, body, host), total: total ? Number(total) : undefined };
    });
    return reviewsOf(given, repository);
  }
}

/** All that the host says of why not, it says with status 405, in words. */
function mergeFault({ status, said }: RestRefusal): ForgeFault | undefined {
  if (status !== 405) return undefined;
  // It has not computed yet whether there are conflicts.
  if (/try again later/i.test(said)) return "unavailable";
  if (/user not allowed/i.test(said)) return "forbidden";
  return /merge style/i.test(said) ? "invalid" : "conflict";
}

const apiPath = ({ path }: ForgeRepository): string =>
  `repos/${path.split("/").map(encodeURIComponent).join("/")}`;
