import type { ForgeHost } from "../../config/forge-hosts.ts";
import type { Check, ForgeRepository, PullRequest, Review } from "../forge.ts";
import { pageUrl, shortened } from "../replies.ts";
import type { Approval, CommitStatus, MergeRequest, Reviewer } from "./gitlab-replies.ts";

/** A merge request as the seam knows it, without its checks and reviews. */
export function pullRequestOf(
  merge: MergeRequest,
  { host, repository }: { host: ForgeHost; repository: ForgeRepository },
): PullRequest {
  return {
    number: merge.iid,
    // Made here, not read: people follow it.
    url: `${host.url}/${repository.path}/-/merge_requests/${merge.iid}`,
    title: shortened(merge.title),
    state: STATES[merge.state],
    draft: merge.draft ?? false,
    head: merge.sha ?? null,
    base: merge.target_branch,
    mergeable: mergeableOf(merge),
    createdAt: new Date(merge.created_at),
    checks: null,
    reviews: null,
  };
}

/** Locked: it is being merged. */
const STATES: Readonly<Record<MergeRequest["state"], PullRequest["state"]>> = {
  opened: "open",
  locked: "open",
  closed: "closed",
  merged: "merged",
};

/** What `detailed_merge_status` is while GitLab computes it. */
const UNKNOWN = ["unchecked", "checking", "preparing", "approvals_syncing"];

function mergeableOf({ state, detailed_merge_status: status }: MergeRequest): boolean | null {
  if (state !== "opened" || status === undefined || UNKNOWN.includes(status)) return null;
  return status === "mergeable";
}

/** Why GitLab does not merge, in words; "" where it says nothing that helps. */
export function obstacle({ state, detailed_merge_status: status = "" }: MergeRequest): string {
  if (state !== "opened") return `It is ${state} already.`;
  return (
    OBSTACLES[status] ??
    (/^[a-z_]{1,60}$/.test(status) && status !== "mergeable" ? `GitLab calls its state "${status}".` : "")
  );
}

const OBSTACLES: Readonly<Partial<Record<string, string>>> = {
  // As older ones of GitLab say `merge_request_blocked`.
  blocked_status: "Another merge request must be merged first.",
  ci_must_pass: "Its pipeline must succeed first.",
  ci_still_running: "Its pipeline must end first.",
  checking: "GitLab has not found out yet whether it can be merged: try again.",
  conflict: "It has conflicts with the target branch.",
  discussions_not_resolved: "All of its threads must be resolved first.",
  draft_status: "It is a draft: mark it as ready first.",
  merge_request_blocked: "Another merge request must be merged first.",
  need_rebase: "It must be rebased onto the target branch first.",
  not_approved: "It must be approved first.",
  preparing: "GitLab has not found out yet whether it can be merged: try again.",
  requested_changes: "A reviewer has requested changes.",
  unchecked: "GitLab has not found out yet whether it can be merged: try again.",
};

/** The jobs and external statuses of the commit at its head, and its pipeline where that has none of them. */
export function checksOf(
  statuses: readonly CommitStatus[],
  { head_pipeline }: MergeRequest,
): readonly Check[] {
  // A job that was run again, or in several pipelines, has several.
  const newest = new Map<string, CommitStatus>();
  for (const status of statuses)
    if (status.id >= (newest.get(status.name)?.id ?? 0)) newest.set(status.name, status);
  const checks = [...newest.values()].map((status) => ({
    name: shortened(status.name),
    status: checkStatus(status.status, status.allow_failure ?? false),
    url: pageUrl(status.target_url),
  }));
  if (!head_pipeline || statuses.some(({ pipeline_id }) => pipeline_id === head_pipeline.id)) return checks;
  const { status, web_url } = head_pipeline;
  return [...checks, { name: "pipeline", status: checkStatus(status, false), url: pageUrl(web_url) }];
}

/** A job that may fail, or that somebody may start, keeps nobody from merging. */
function checkStatus(status: string, optional: boolean): Check["status"] {
  if (status === "success") return "passed";
  if (status === "skipped") return "skipped";
  if (status === "failed" || status === "canceled") return optional ? "skipped" : "failed";
  return status === "manual" && optional ? "skipped" : "pending";
}

/** What each reviewer last said; who has approved without being asked is one, too. */
export function reviewsOf(reviewers: readonly Reviewer[], approvals: readonly Approval[]): readonly Review[] {
  const words = new Map<string, Review>();
  for (const { user, state } of reviewers)
    words.set(user.username, { reviewer: user.username, state: VERDICTS[state] ?? "pending", at: null });
  for (const { user, approved_at } of approvals) {
    const at = approved_at ? new Date(approved_at) : null;
    words.set(user.username, { reviewer: user.username, state: "approved", at });
  }
  return [...words.values()];
}

const VERDICTS: Readonly<Partial<Record<string, Review["state"]>>> = {
  approved: "approved",
  requested_changes: "changes_requested",
  reviewed: "commented",
};
