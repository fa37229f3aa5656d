import { type Static, Type as t } from "@sinclair/typebox";
import { BRANCH, COMMIT, nullable, pageOf, REPOSITORY_PATH, TIME, USER_NAME } from "../replies.ts";

/** What is read of the replies of Gitea and Forgejo. Other fields are ignored. */

export const USER = t.Object({ login: USER_NAME });
const REPOSITORY = t.Object({
  full_name: REPOSITORY_PATH,
  default_branch: t.Optional(BRANCH),
  updated_at: TIME,
  archived: t.Optional(t.Boolean()),
  permissions: t.Optional(nullable(t.Object({ push: t.Boolean() }))),
});
export type Repository = Static<typeof REPOSITORY>;
export const REPOSITORIES = pageOf(REPOSITORY);
const LABEL = t.Object({ id: t.Integer(), name: t.String() });

export const PULL = t.Object({
  number: t.Integer({ minimum: 1 }),
  title: t.String(),
  state: t.Union([t.Literal("open"), t.Literal("closed")]),
  draft: t.Optional(t.Boolean()),
  merged: t.Boolean(),
  mergeable: t.Boolean(),
  created_at: TIME,
  merge_commit_sha: t.Optional(nullable(t.String())),
  // `ref` is refs/pull/N/head where the branch is gone; `label` is always its name. `sha` may be "".
  head: t.Object({ label: BRANCH, ref: BRANCH, sha: t.Union([COMMIT, t.Literal("")]), repo_id: t.Integer() }),
  base: t.Object({ ref: BRANCH, repo_id: t.Integer() }),
  labels: t.Optional(nullable(t.Array(LABEL))),
  requested_reviewers: t.Optional(nullable(t.Array(USER))),
});
export type Pull = Static<typeof PULL>;
export const PULLS = pageOf(PULL);
export const LABELS = pageOf(LABEL);

const STATUS = t.Object({ context: t.String(), status: t.String(), target_url: t.Optional(t.String()) });
export type CommitStatus = Static<typeof STATUS>;
export const COMBINED_STATUS = t.Object({
  statuses: nullable(pageOf(STATUS)),
  total_count: t.Integer({ minimum: 0 }),
});

const REVIEW = t.Object({
  // Null: a team has been asked.
  user: t.Optional(nullable(USER)),
  team: t.Optional(nullable(t.Object({ name: USER_NAME }))),
  state: t.String(),
  dismissed: t.Optional(t.Boolean()),
  submitted_at: TIME,
});
export type PullReview = Static<typeof REVIEW>;
export const REVIEWS = pageOf(REVIEW);
