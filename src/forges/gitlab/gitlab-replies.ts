import { type Static, Type as t } from "@sinclair/typebox";
import { BRANCH, COMMIT, nullable, pageOf, REPOSITORY_PATH, TIME, USER_NAME } from "../replies.ts";

/** What is read of GitLab's replies. Other fields are ignored. */

const ID = t.Integer({ minimum: 1 });
export const USER = t.Object({ id: ID, username: USER_NAME });
export const USERS = pageOf(USER);

export const OWN_TOKEN = t.Object({ scopes: t.Array(t.String({ maxLength: 100 }), { maxItems: 100 }) });

const PROJECT = t.Object({
  path_with_namespace: REPOSITORY_PATH,
  default_branch: t.Optional(nullable(BRANCH)),
});
export const PROJECTS = pageOf(PROJECT);

const PIPELINE = t.Object({
  id: ID,
  status: t.String(),
  web_url: t.Optional(nullable(t.String())),
});

export const MERGE_REQUEST = t.Object({
  iid: ID,
  title: t.String(),
  state: t.Union([t.Literal("opened"), t.Literal("closed"), t.Literal("locked"), t.Literal("merged")]),
  draft: t.Optional(t.Boolean()),
  created_at: TIME,
  sha: t.Optional(nullable(COMMIT)),
  merge_commit_sha: t.Optional(nullable(COMMIT)),
  squash_commit_sha: t.Optional(nullable(COMMIT)),
  target_branch: BRANCH,
  // Null: the fork that it came from is gone.
  source_project_id: nullable(ID),
  target_project_id: ID,
  detailed_merge_status: t.Optional(t.String({ maxLength: 100 })),
  labels: t.Array(t.String()),
  reviewers: t.Optional(nullable(t.Array(USER))),
  head_pipeline: t.Optional(nullable(PIPELINE)),
});
export type MergeRequest = Static<typeof MERGE_REQUEST>;
export const MERGE_REQUESTS = pageOf(MERGE_REQUEST);

const STATUS = t.Object({
  id: ID,
  name: t.String(),
  status: t.String(),
  target_url: t.Optional(nullable(t.String())),
  allow_failure: t.Optional(nullable(t.Boolean())),
  pipeline_id: t.Optional(nullable(ID)),
});
export type CommitStatus = Static<typeof STATUS>;
export const STATUSES = pageOf(STATUS);

const REVIEWER = t.Object({ user: t.Object({ username: USER_NAME }), state: t.String() });
export type Reviewer = Static<typeof REVIEWER>;
export const REVIEWERS = pageOf(REVIEWER);

const APPROVAL = t.Object({
  user: t.Object({ username: USER_NAME }),
  approved_at: t.Optional(nullable(TIME)),
});
export type Approval = Static<typeof APPROVAL>;
export const APPROVALS = t.Object({ approved_by: pageOf(APPROVAL) });
