import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { Check, ForgeRepository, PullRequest, Review } from "../forge.ts";
import { pageUrl, shortened } from "../replies.ts";
import type { CommitStatus, Pull, PullReview } from "./gitea-replies.ts";

/** A pull request as the seam knows it, without its checks and reviews. */
export function pullRequestOf(
  pull: Pull,
  { host, repository }: { host: ForgeHost; repository: ForgeRepository },
): PullRequest {
  return {
    number: pull.number,
    // Made here, not read: people follow it.
    url: `${host.url}/${repository.path}/pulls/${pull.number}`,
    title: shortened(pull.title),
    state: pull.merged ? "merged" : pull.state,
    draft: pull.draft ?? false,
    head: pull.head.sha || null,
    base: pull.base.ref,
    // False while it is computed, too: nothing tells the two apart.
    mergeable: pull.merged || pull.state === "closed" ? null : pull.mergeable,
    createdAt: new Date(pull.created_at),
    checks: null,
    reviews: null,
  };
}

export const checkOf = ({ context, status, target_url }: CommitStatus): Check => ({
  name: shortened(context),
  status: STATUSES[status] ?? "pending",
  // A path for Gitea's own actions, which lead nowhere from outside.
  url: pageUrl(target_url),
});

/** A warning fails the combined status of Gitea. */
const STATUSES: Readonly<Partial<Record<string, Check["status"]>>> = {
  success: "passed",
  skipped: "skipped",
  failure: "failed",
  error: "failed",
  warning: "failed",
};

/**
 * The last word of each reviewer, and who has been asked for one: a comment does not take back an approval or a request for
 * changes, a dismissal does, and who is asked again is waited for. Teams are written as `owner/team`.
 * @param given in the order in which they were made.
 */
export function reviewsOf(given: readonly PullReview[], { path }: ForgeRepository): readonly Review[] {
  const words = new Map<string, Review>();
  for (const { user, team, state, dismissed, submitted_at } of given) {
    const reviewer = team ? `${path.split("/")[0]}/${team.name}` : (user?.login ?? "ghost");
    const verdict = dismissed ? "commented" : VERDICTS[state];
    if (!verdict) continue;
    const held = words.get(reviewer)?.state;
    if (verdict === "commented" && !dismissed && held && held !== "pending") continue;
    const at = verdict === "pending" ? null : new Date(submitted_at);
    words.set(reviewer, { reviewer, state: verdict, at });
  }
  return [...words.values()];
}

/** A review that has not been submitted yet (PENDING) is its author's alone. */
const VERDICTS: Readonly<Partial<Record<string, Review["state"]>>> = {
  APPROVED: "approved",
  REQUEST_CHANGES: "changes_requested",
  COMMENT: "commented",
  REQUEST_REVIEW: "pending",
};
