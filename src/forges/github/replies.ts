import { type Static, Type as t } from "@sinclair/typebox";
import { BRANCH, COMMIT, nullable, pageOf, REPOSITORY_PATH, TIME } from "../replies.ts";

/** What is read of GitHub's replies. Other fields are ignored. */

export const USER = t.Object({ login: t.String({ minLength: 1, maxLength: 100 }) });
const link = t.Optional(nullable(t.String()));

export const PULL = t.Object({
  number: t.Integer({ minimum: 1 }),
  title: t.String(),
  state: t.Union([t.Literal("open"), t.Literal("closed")]),
  draft: t.Optional(t.Boolean()),
  created_at: TIME,
  merged_at: nullable(TIME),
  user: nullable(USER),
  // Null: the fork that it came from is gone.
  head: t.Object({ ref: BRANCH, sha: COMMIT, repo: nullable(t.Object({ id: t.Integer() })) }),
  base: t.Object({ ref: BRANCH, repo: t.Object({ id: t.Integer() }) }),
});
export type Pull = Static<typeof PULL>;

export const PULLS = pageOf(PULL);

export const PULL_DETAIL = t.Composite([
  PULL,
  t.Object({
    mergeable: nullable(t.Boolean()),
    labels: t.Array(t.Object({ name: t.String() })),
    requested_reviewers: t.Optional(nullable(t.Array(USER))),
    requested_teams: t.Optional(nullable(t.Array(t.Object({ slug: t.String({ maxLength: 200 }) })))),
  }),
]);
export type PullDetail = Static<typeof PULL_DETAIL>;

const REPOSITORY = t.Object({
  full_name: REPOSITORY_PATH,
  default_branch: BRANCH,
  pushed_at: t.Optional(nullable(TIME)),
  archived: t.Optional(t.Boolean()),
  permissions: t.Optional(t.Object({ push: t.Optional(t.Boolean()) })),
});
export type Repository = Static<typeof REPOSITORY>;
export const REPOSITORIES = pageOf(REPOSITORY);
export const INSTALLED_REPOSITORIES = t.Object({ repositories: REPOSITORIES });

const CHECK_RUN = t.Object({
  name: t.String(),
  status: t.String(),
  conclusion: nullable(t.String()),
  html_url: link,
});
export type CheckRun = Static<typeof CHECK_RUN>;
export const CHECK_RUNS = t.Object({ check_runs: pageOf(CHECK_RUN) });

const STATUS = t.Object({ context: t.String(), state: t.String(), target_url: link });
export type CommitStatus = Static<typeof STATUS>;
export const STATUSES = t.Object({ statuses: pageOf(STATUS) });

const REVIEW = t.Object({
  user: nullable(USER),
  state: t.String(),
  submitted_at: t.Optional(TIME),
});
export type PullReview = Static<typeof REVIEW>;
export const REVIEWS = pageOf(REVIEW);

export const MERGED = t.Object({ sha: COMMIT, merged: t.Literal(true) });

export const APP = t.Object({
  slug: t.Optional(t.String({ minLength: 1, maxLength: 100 })),
  name: t.String({ minLength: 1, maxLength: 100 }),
  permissions: t.Record(t.String(), t.String()),
  installations_count: t.Optional(t.Integer({ minimum: 0 })),
});

export const INSTALLATION = t.Object({
  id: t.Integer({ minimum: 1 }),
  permissions: t.Record(t.String(), t.String()),
  suspended_at: t.Optional(nullable(t.String())),
});
export type Installation = Static<typeof INSTALLATION>;
export const INSTALLATIONS = pageOf(INSTALLATION);

export const INSTALLATION_TOKEN = t.Object({
  // It becomes a header: no white space.
  token: t.String({ pattern: "^[\\x21-\\x7e]{10,4000}$" }),
  repositories: t.Optional(t.Array(t.Object({ name: t.String() }))),
});
