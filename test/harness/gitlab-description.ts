import type { Json } from "./openapi-schemas.ts";

/**
 * An OpenAPI description of what is used of GitLab's API, written by hand, because no package of a registry carries GitLab's
 * own. It was compared with that one: doc/api/openapi/openapi_v3.yaml of GitLab 19.5, in github.com/gitlabhq/gitlabhq at
 * 045bf8777ea8. Paths, parameters, bodies and fields are as there; so are the statuses, but for 401, 403, 404 and 429, which
 * the stand-in may answer to everything. Of a reply there are some of the fields that GitLab always sends, and
 * `head_pipeline`, which it sends to whoever may read pipelines.
 *
 * GitLab's own does not say which fields of a reply are always there or may be null, what values states have, what bodies
 * refusals have, and how long a page may be; and it has `reviewers` and `approved_by` as one entry, where GitLab sends lists.
 * That is described here by GitLab's documentation and source.
 */
const text: Json = { type: "string" };
const flag: Json = { type: "boolean" };
const id: Json = { type: "integer", minimum: 1 };
const orNull = (schema: Json): Json => ({ ...schema, nullable: true });
const time: Json = { type: "string", format: "date-time" };
const oneOf = (...values: string[]): Json => ({ type: "string", enum: values });
const listOf = (items: Json): Json => ({ type: "array", items });
const object = (properties: Json, required: readonly string[] = Object.keys(properties)): Json => ({
  type: "object",
  properties,
  ...(required.length > 0 && { required: [...required] }),
});

const SHA: Json = { type: "string", pattern: "^[0-9a-f]{40}$" };
const JOB_STATUSES = [
  ...["created", "waiting_for_resource", "preparing", "waiting_for_callback", "pending", "running"],
  ...["success", "failed", "canceling", "canceled", "skipped", "manual", "scheduled"],
];
const MERGE_STATUSES = [
  ...[
    "approvals_syncing",
    "blocked_status",
    "checking",
    "ci_must_pass",
    "ci_still_running",
    "commits_status",
  ],
  ...["conflict", "discussions_not_resolved", "draft_status", "jira_association_missing", "mergeable"],
  ...["merge_request_blocked", "merge_time", "need_rebase", "not_approved", "not_open", "preparing"],
  ...["requested_changes", "security_policy_pipeline_check", "security_policy_violations"],
  ...["status_checks_must_pass", "unchecked", "locked_paths", "locked_lfs_files", "title_regex"],
];

const user = object({ id, username: text, name: text, state: text, web_url: text });
const pipeline = object({
  id,
  iid: id,
  project_id: id,
  sha: SHA,
  ref: text,
  status: oneOf(...JOB_STATUSES),
  web_url: text,
});
const mergeRequest = object({
  ...{ id, iid: id, project_id: id, title: text, description: orNull(text) },
  state: oneOf("opened", "closed", "locked", "merged"),
  ...{ created_at: time, updated_at: time, merged_at: orNull(time) },
  ...{ target_branch: text, source_branch: text, source_project_id: orNull(id), target_project_id: id },
  ...{ author: user, reviewers: listOf(user), labels: listOf(text) },
  ...{ draft: flag, squash: flag, web_url: text },
  detailed_merge_status: oneOf(...MERGE_STATUSES),
  ...{ sha: orNull(SHA), merge_commit_sha: orNull(SHA), squash_commit_sha: orNull(SHA) },
});
/** As a single one is shown. */
const wholeMergeRequest: Json = { allOf: [mergeRequest, object({ head_pipeline: orNull(pipeline) }, [])] };
const status = object({
  ...{ id, sha: SHA, ref: text, status: oneOf(...JOB_STATUSES), name: text },
  ...{ target_url: orNull(text), description: orNull(text), created_at: time, allow_failure: flag },
  pipeline_id: orNull(id),
});
const reviewer = object({
  user,
  state: oneOf("unreviewed", "reviewed", "requested_changes", "approved", "unapproved", "review_started"),
  created_at: time,
});
const approvals = object({
  ...{ user_has_approved: flag, user_can_approve: flag, approved: flag },
  approved_by: listOf(object({ user, approved_at: time })),
});

/** As `simple` shows it. */
const project = object({
  ...{ id, description: orNull(text), name: text, path: text, path_with_namespace: text, created_at: time },
  ...{ web_url: text, last_activity_at: time },
  // Who may not read the code is not told it.
  default_branch: orNull(text),
});

const query = (name: string, schema: Json): Json => ({ name, in: "query", required: false, schema });
const PAGING = [
  query("page", { type: "integer", minimum: 1 }),
  query("per_page", { type: "integer", minimum: 1, maximum: 100 }),
];
const json = (schema: Json): Json => ({ content: { "application/json": { schema } } });

/** `message`: a text, texts, or texts by field. Of a scope that is missing: `error`. */
export const REFUSAL: Json = {
  type: "object",
  properties: {
    message: { anyOf: [text, listOf(text), { type: "object", additionalProperties: listOf(text) }] },
    error: text,
    error_description: text,
    scope: text,
  },
  anyOf: [{ required: ["message"] }, { required: ["error"] }],
};

const refusals = (...statuses: number[]): Json =>
  Object.fromEntries(statuses.map((one) => [one, { description: "refused", ...json(REFUSAL) }]));

function operation(
  path: string,
  options: {
    status: number;
    reply: Json;
    parameters?: readonly Json[];
    body?: Json;
    refused?: readonly number[];
  },
): Json {
  const { status: code, reply, parameters = [], body, refused = [] } = options;
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name = ""]) => name);
  const inPath = names.map((name) => ({
    ...{ name, in: "path", required: true },
    schema: name === "merge_request_iid" ? id : text,
  }));
  return {
    parameters: [...inPath, ...parameters],
    ...(body && { requestBody: { required: "required" in body, ...json(body) } }),
    responses: { [code]: { description: "done", ...json(reply) }, ...refusals(400, ...refused) },
  };
}

const LIST = "/projects/{id}/merge_requests";
const ONE = `${LIST}/{merge_request_iid}`;
const STATUSES = "/projects/{id}/repository/commits/{sha}/statuses";

export const GITLAB_DESCRIPTION: Json = {
  openapi: "3.0.0",
  info: { title: "GitLab REST API, as it is used", version: "19.5" },
  paths: {
    [LIST]: {
      get: operation(LIST, {
        status: 200,
        reply: listOf(mergeRequest),
        refused: [422],
        parameters: [
          query("state", oneOf("opened", "closed", "locked", "merged", "all")),
          query("source_branch", text),
          query("target_branch", text),
          query(
            "order_by",
            oneOf(
              "created_at",
              "label_priority",
              "milestone_due",
              "popularity",
              "priority",
              "title",
              "updated_at",
              "merged_at",
            ),
          ),
          query("sort", oneOf("asc", "desc")),
          ...PAGING,
        ],
      }),
      post: operation(LIST, {
        status: 201,
        reply: wholeMergeRequest,
        refused: [409, 422],
        body: object({ source_branch: text, target_branch: text, title: text, description: text }, [
          "source_branch",
          "target_branch",
          "title",
        ]),
      }),
    },
    [ONE]: {
      get: operation(ONE, { status: 200, reply: wholeMergeRequest }),
      put: operation(ONE, {
        status: 200,
        reply: wholeMergeRequest,
        refused: [409, 422],
        body: {
          ...object({ add_labels: listOf(text), reviewer_ids: listOf({ type: "integer" }) }, []),
          minProperties: 1,
        },
      }),
    },
    [`${ONE}/merge`]: {
      put: operation(`${ONE}/merge`, {
        status: 200,
        reply: wholeMergeRequest,
        refused: [405, 409, 422],
        body: object({ sha: SHA, squash: flag }, []),
      }),
    },
    [`${ONE}/reviewers`]: { get: operation(`${ONE}/reviewers`, { status: 200, reply: listOf(reviewer) }) },
    [`${ONE}/approvals`]: { get: operation(`${ONE}/approvals`, { status: 200, reply: approvals }) },
    [STATUSES]: {
      get: operation(STATUSES, {
        status: 200,
        reply: listOf(status),
        parameters: [query("all", flag), ...PAGING],
      }),
    },
    "/personal_access_tokens/self": {
      get: operation("/personal_access_tokens/self", {
        status: 200,
        reply: object({
          ...{ id, name: text, revoked: flag, created_at: time, scopes: listOf(text), user_id: id },
          ...{
            last_used_at: orNull(time),
            active: flag,
            expires_at: orNull({ type: "string", format: "date" }),
          },
        }),
      }),
    },
    "/projects": {
      get: operation("/projects", {
        status: 200,
        reply: listOf(project),
        parameters: [
          ...["membership", "archived", "simple"].map((name) => query(name, flag)),
          query("min_access_level", { type: "integer", enum: [10, 15, 20, 30, 40, 50] }),
          query(
            "order_by",
            oneOf(
              "id",
              "name",
              "path",
              "created_at",
              "updated_at",
              "last_activity_at",
              "star_count",
              "similarity",
            ),
          ),
          query("sort", oneOf("asc", "desc")),
          ...PAGING,
        ],
      }),
    },
    "/user": { get: operation("/user", { status: 200, reply: user }) },
    "/users": {
      get: operation("/users", {
        status: 200,
        reply: listOf(user),
        parameters: [query("username", text), ...PAGING],
      }),
    },
  },
};

/** As the check of requests and replies names them. */
export const GITLAB_OPERATIONS = Object.entries(GITLAB_DESCRIPTION["paths"] as Record<string, Json>).flatMap(
  ([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`),
);
