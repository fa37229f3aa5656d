import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { ForgeRepository } from "../forge.ts";
import { checkReply } from "../replies.ts";
import { whatIsRefused } from "../rest-errors.ts";
import type { GitlabClient } from "./gitlab-client.ts";
import { MERGE_REQUEST, type MergeRequest, USERS } from "./gitlab-replies.ts";

export interface Decoration {
  client: GitlabClient;
  host: ForgeHost;
  scopes: string;
  repository: ForgeRepository;
  merge: MergeRequest;
  wanted: { labels: readonly string[]; reviewers: readonly string[] };
}

/** Adds what is missing, in one change. @returns what the host did not accept. */
export async function decorate(decoration: Decoration): Promise<readonly string[]> {
  const { client, host, scopes, repository, merge, wanted } = decoration;
  const what = `label merge request ${merge.iid} of ${repository.path} and to ask for reviews`;
  return whatIsRefused({ host, scopes, what }, async () => {
    // GitLab divides them at commas.
    const labels = missingLabels(merge, wanted.labels).filter((name) => !name.includes(","));
    const users = await findUsers(decoration, missingReviewers(merge, wanted.reviewers));
    if (labels.length === 0 && users.length === 0) return refusals(merge, wanted);
    const reply = await client.mergeRequests.edit(repository.path, merge.iid, {
      // A list by GitLab's own description; Gitbeaker's types know its older form, a text.
      ...(labels.length > 0 && { addLabels: labels as string[] & string }),
      // All of them: it is replaced.
      ...(users.length > 0 && { reviewerIds: [...(merge.reviewers ?? []), ...users].map(({ id }) => id) }),
    });
    // What it does not accept it passes over in silence.
    return refusals(checkReply(MERGE_REQUEST, reply, host), wanted);
  });
}

const missingLabels = ({ labels }: MergeRequest, wanted: readonly string[]) =>
  wanted.filter((name) => !labels.includes(name));

function missingReviewers({ reviewers }: MergeRequest, wanted: readonly string[]): string[] {
  const held = new Set(reviewers?.map(({ username }) => username.toLowerCase()));
  return wanted.filter((name) => !held.has(name.toLowerCase()));
}

/** Unknown ones are left out. */
async function findUsers({ client, host }: Decoration, names: readonly string[]) {
  const found = [];
  for (const name of names) {
    const users = checkReply(USERS, await client.users.all({ username: name, page: 1, perPage: 20 }), host);
    found.push(...users.filter(({ username }) => username.toLowerCase() === name.toLowerCase()).slice(0, 1));
  }
  return found;
}

const refusals = (merge: MergeRequest, wanted: Decoration["wanted"]): string[] => [
  ...missingLabels(merge, wanted.labels).map(
    (name) =>
      `GitLab did not add the label "${name}": it must not contain a comma, and the token's user must be allowed to create it.`,
  ),
  ...missingReviewers(merge, wanted.reviewers).map(
    (name) =>
      `GitLab did not ask ${name} for a review: it must be a member's user name, and GitLab's free tier has one reviewer only.`,
  ),
];
