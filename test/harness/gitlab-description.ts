import type { Json } from "./openapi-schemas.ts";

/**
 * An OpenAPI description of what is used of GitLab's API, written by hand from its documentation: no package of a registry
 * carries GitLab's own.
 * Replies are described by what GitLab always sends.
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
  ...["requested_changes", "security_policy_violations", "status_checks_must_pass", "unchecked"],
  ...["locked_paths", "locked_lfs_files", "title_regex"],
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
const wholeMergeRequest: Json = { allOf: [mergeRequest, object({ head_pipeline: orNull(pipeline) })] };
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
const approvals: Json = object({ approved_by: listOf(object({ user, approved_at: time })) });

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
    ...(body && { requestBody: { required: true, ...json(body) } }),
    responses: { [code]: { description: "done", ...json(reply) }, ...refusals(400, 404, ...refused) },
  };
}

const LIST = "/projects/{id}/merge_requests";
const ONE = `${LIST}/{merge_request_iid}`;
const STATUSES = "/projects/{id}/repository/commits/{sha}/statuses";
const ids = listOf({ type: "integer" });

export const GITLAB_DESCRIPTION: Json = {
  openapi: "3.0.0",
  info: { title: "GitLab REST API, as it is used", version: "19" },
  paths: {
    [LIST]: {
      get: operation(LIST, {
        status: 200,
        reply: listOf(mergeRequest),
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
        body: object(
          {
            source_branch: text,
            target_branch: text,
            title: text,
            description: text,
            labels: text,
            reviewer_ids: ids,
          },
          ["source_branch", "target_branch", "title"],
        ),
      }),
    },
    [ONE]: {
      get: operation(ONE, { status: 200, reply: wholeMergeRequest }),
      put: operation(ONE, {
        status: 200,
        reply: wholeMergeRequest,
        refused: [409, 422],
        body: object(
          { title: text, description: text, add_labels: text, labels: text, reviewer_ids: ids },
          [],
        ),
      }),
    },
    [`${ONE}/merge`]: {
      put: operation(`${ONE}/merge`, {
        status: 200,
        reply: wholeMergeRequest,
        refused: [405, 409, 422],
        body: object(
          {
            sha: SHA,
            squash: flag,
            auto_merge: flag,
            should_remove_source_branch: flag,
            merge_commit_message: text,
          },
          [],
        ),
      }),
    },
    [`${ONE}/reviewers`]: { get: operation(`${ONE}/reviewers`, { status: 200, reply: listOf(reviewer) }) },
    [`${ONE}/approvals`]: { get: operation(`${ONE}/approvals`, { status: 200, reply: approvals }) },
    [STATUSES]: {
      get: operation(STATUSES, {
        status: 200,
        reply: listOf(status),
        parameters: [
          query("ref", text),
          query("stage", text),
          query("name", text),
          query("all", flag),
          ...PAGING,
        ],
      }),
    },
    "/users": {
      get: operation("/users", {
        status: 200,
        reply: listOf(user),
        parameters: [query("username", text), query("search", text), query("active", flag), ...PAGING],
      }),
    },
  },
};

/** As the check of requests and replies names them. */
export const GITLAB_OPERATIONS = Object.entries(GITLAB_DESCRIPTION["paths"] as Record<string, Json>).flatMap(
  ([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`),
);
