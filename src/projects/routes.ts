import { Elysia, t } from "elysia";
import { ifMatchOf, isUnchanged, versionTag, weakEtag } from "../api/etag.ts";
import { createOnce } from "../api/idempotency-store.ts";
import { nextCursor } from "../api/paging.ts";
import {
  errorResponses,
  idempotencyHeaders,
  idParams,
  NotModified,
  paging,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
  updateErrors,
  writeErrors,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import { checkProject } from "./check.ts";
import { openSecretKeys } from "./keys.ts";
import { type ProjectDto, projectModels, RepoFilter, type UpdateProjectInput } from "./model.ts";
import { repoKey } from "./repo-key.ts";
import {
  createProject,
  deleteProject,
  listProjects,
  type ProjectChange,
  type ProjectWithSecrets,
  readProject,
  updateProject,
} from "./store.ts";

/** Projects: what a repository's runs need. Values of secrets go in and never out. */
export function projectRoutes({ orm, guard, config }: { orm: Orm; guard: Guard; config: Config }) {
  const rules = repoRules(config);
  const keys = openSecretKeys(config);
  const detail = securedOperation("Projects");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...projectModels })
    .get(
      "/projects",
      async (context) => {
        const { user, query, status } = context;
        const { repo, ...paged } = query;
        const wanted = { userId: user.id, repoKey: repo === undefined ? undefined : repoKey(repo, rules) };
        const page = await listProjects(orm, { ...wanted, ...paged });
        const versions = page.rows.map(({ id, version }) => [id, version]);
        if (
          isUnchanged(
            context,
            weakEtag(
              "projects",
              wanted.repoKey,
              query.limit,
              query.cursor,
              versions,
              nextCursor(query, page),
            ),
          )
        )
          return status(304, undefined);
        return { projects: page.rows.map(toDto), ...nextCursor(query, page) };
      },
      {
        query: t.Object({ repo: t.Optional(RepoFilter), ...paging }),
        transform: parseLimit,
        detail: detail("handlers_projects_list", "List projects", "All of the current user, oldest first."),
        response: { 200: "ListProjectsOutput", 304: NotModified, ...errorResponses(401, 422, 500) },
      },
    )
    .post(
      "/projects",
      async (context) => {
        const { user, body } = context;
        checkProject(body);
        const { repo, secrets = {} } = body;
        const wanted = {
          ...{ userId: user.id, repo, repoKey: repoKey(repo, rules) },
          ...{ change: changeOf(body), secrets },
        };
        // What identifies the request is stored as a hash, by which a short secret could be guessed.
        const named = { ...context, body: { ...body, secrets: Object.keys(secrets) } };
        const { id } = await createOnce(orm, named, (tx) => createProject(tx, keys, wanted));
        return { success: true, message: "Project created", id };
      },
      {
        parse: "json",
        body: "CreateProjectInput",
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_projects_create",
          "Create a project",
          "Its settings are for all of the user's sessions of the repository, from their next run on. A repository has one project of a user.",
        ),
        response: { 200: "CreateProjectOutput", ...writeErrors },
      },
    )
    .get(
      "/projects/:id",
      async (context) => {
        const { user, params, status } = context;
        const row = await readProject(orm, { userId: user.id, id: params.id });
        if (isUnchanged(context, versionTag(row.id, row.version))) return status(304, undefined);
        return { project: toDto(row) };
      },
      {
        params: idParams,
        detail: detail("handlers_projects_read", "Get a project", "With the names of its secrets."),
        response: { 200: "ReadProjectOutput", 304: NotModified, ...readErrors },
      },
    )
    .put(
      "/projects/:id",
      async ({ user, params, body, request }) => {
        checkProject(body);
        const { repo, secrets = {} } = body;
        const change = {
          ...changeOf(body),
          ...(repo !== undefined && { repo, repoKey: repoKey(repo, rules) }),
        };
        const wanted = { userId: user.id, id: params.id, change, secrets, ifMatch: ifMatchOf(request) };
        const row = await updateProject(orm, keys, wanted);
        return { success: true, message: "Project updated", project: toDto(row) };
      },
      {
        parse: "json",
        params: idParams,
        body: "UpdateProjectInput",
        detail: detail(
          "handlers_projects_update",
          "Update a project",
          "Changes the fields that are sent, and of the secrets those that are named. Runs that have begun keep what they have.",
        ),
        response: { 200: "UpdateProjectOutput", ...updateErrors },
      },
    )
    .delete(
      "/projects/:id",
      async ({ user, params }) => {
        await deleteProject(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Project deleted" };
      },
      {
        params: idParams,
        detail: detail("handlers_projects_delete", "Delete a project", "With its secrets. Sessions stay."),
        response: { 200: "DeleteProjectOutput", ...readErrors },
      },
    );
}

const changeOf = (body: UpdateProjectInput): ProjectChange => ({
  instructions: body.instructions,
  setupCommand: body.setup_command,
  environment: body.environment,
  mcpServers: body.mcp_servers,
  egressHosts: body.egress_hosts,
  agent: body.agent,
  model: body.model,
  mode: body.mode,
  budgetUsd: body.budget_usd,
  pullRequest: body.pull_request,
});

const toDto = (row: ProjectWithSecrets): ProjectDto => ({
  id: row.id,
  repo: row.repo,
  instructions: row.instructions,
  setup_command: row.setupCommand,
  environment: row.environment,
  secrets: row.secrets.map(({ name, updatedAt }) => ({ name, updated_at: updatedAt.toISOString() })),
  mcp_servers: row.mcpServers,
  egress_hosts: row.egressHosts,
  agent: row.agent,
  model: row.model,
  mode: row.mode,
  budget_usd: row.budgetUsd,
  pull_request: row.pullRequest,
  version: row.version,
  created_at: row.createdAt.toISOString(),
  updated_at: row.updatedAt.toISOString(),
});
