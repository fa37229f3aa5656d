import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { Check, ForgeRepository, PullRequest, Review } from "../forge.ts";
import { pageUrl, shortened } from "../replies.ts";
import type { CheckRun, CommitStatus, Pull, PullDetail, PullReview } from "./replies.ts";

/** A pull request as the seam knows it, without its checks and reviews. */
export function pullRequestOf(
  pull: Pull & Partial<Pick<PullDetail, "mergeable">>,
  { host, repository }: { host: ForgeHost; repository: ForgeRepository },
): PullRequest {
  return {
    number: pull.number,
    // Made here, not read: people follow it.
    url: `${host.url}/${repository.path}/pull/${pull.number}`,
    title: shortened(pull.title),
    state: pull.merged_at ? "merged" : pull.state,
    draft: pull.draft ?? false,
    head: pull.head.sha,
    base: pull.base.ref,
    mergeable: pull.mergeable ?? null,
    createdAt: new Date(pull.created_at),
    checks: null,
    reviews: null,
  };
}

export const checkOfRun = (run: CheckRun): Check => ({
  name: shortened(run.name),
  status: run.status === "completed" ? conclusionOf(run.conclusion) : "pending",
  url: pageUrl(run.html_url),
});

/** As GitHub's protection of branches takes them: what is neutral or skipped blocks nothing. */
function conclusionOf(conclusion: string | null): Check["status"] {
  if (conclusion === "success" || conclusion === "neutral") return "passed";
  return conclusion === "skipped" ? "skipped" : "failed";
}

export const checkOfStatus = (status: CommitStatus): Check => ({
  name: shortened(status.context),
  status: status.state === "success" ? "passed" : status.state === "pending" ? "pending" : "failed",
  url: pageUrl(status.target_url),
});

/**
 * The last word of each reviewer, and who has been asked for one: a comment does not take back an approval or a request for
 * changes, a dismissal does, and who is asked again is waited for. Teams are written as `owner/team`.
 * @param given in the order in which they were submitted.
 */
export function reviewsOf(
  pull: PullDetail,
  given: readonly PullReview[],
  { path }: ForgeRepository,
): readonly Review[] {
  const words = new Map<string, Review>();
  for (const { user, state, submitted_at } of given) {
    const reviewer = user?.login ?? "ghost";
    const verdict = VERDICTS[state];
    // Authors answer comments by reviews.
    if (!verdict || reviewer === pull.user?.login) continue;
    const held = words.get(reviewer)?.state;
    if (state === "COMMENTED" && held && held !== "commented") continue;
    words.set(reviewer, { reviewer, state: verdict, at: submitted_at ? new Date(submitted_at) : null });
  }
  const owner = path.split("/")[0];
  const asked = [
    ...(pull.requested_reviewers ?? []).map(({ login }) => login),
    ...(pull.requested_teams ?? []).map(({ slug }) => `${owner}/${slug}`),
  ];
  for (const reviewer of asked) words.set(reviewer, { reviewer, state: "pending", at: null });
  return [...words.values()];
}

/** A review that has not been submitted yet (PENDING) is its author's alone. */
const VERDICTS: Readonly<Partial<Record<string, Review["state"]>>> = {
  APPROVED: "approved",
  CHANGES_REQUESTED: "changes_requested",
  COMMENTED: "commented",
  DISMISSED: "commented",
};
