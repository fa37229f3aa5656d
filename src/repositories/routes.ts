import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { errorResponses, NotModified, parseLimit, securedOperation, sharedModels } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { ListedRepo } from "./list.ts";
import {
  branchQuery,
  DEFAULT_LIMIT,
  type RepositoryDto,
  repositoryModels,
  repositoryQuery,
} from "./model.ts";
import type { Repositories } from "./repositories.ts";

/** What a new session may be about, and the branches of it. */
export function repositoryRoutes(options: { guard: Guard; repositories: Repositories }) {
  const { guard, repositories } = options;
  const secured = securedOperation("Repositories");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...repositoryModels })
    .get(
      "/repositories",
      async (context) => {
        const { user, query, status } = context;
        const { q = "", limit = DEFAULT_LIMIT } = query;
        const found = await repositories.list(user, { q, limit });
        const reply = { repositories: found.repositories.map(toDto), unavailable: [...found.unavailable] };
        return isUnchanged(context, weakEtag(reply)) ? status(304, undefined) : reply;
      },
      {
        query: repositoryQuery,
        transform: parseLimit,
        detail: secured(
          "handlers_repositories_list",
          "List repositories to work on",
          "Those of your sessions, the last used ones first; the example repository, where there is one; and what the service's git hosts suggest, to users who may know of all that the service's credentials see: with an identity provider, those with the role admin.",
        ),
        response: {
          200: "ListRepositoriesOutput",
          304: NotModified,
          ...errorResponses(401, 422, 500),
        },
      },
    )
    .get(
      "/repositories/branches",
      async (context) => {
        const { user, query, status } = context;
        const { defaultBranch, branches, truncated } = await repositories.branches(user, query.repo);
        const reply = { default_branch: defaultBranch, branches: [...branches], truncated };
        return isUnchanged(context, weakEtag(reply)) ? status(304, undefined) : reply;
      },
      {
        query: branchQuery,
        detail: secured(
          "handlers_repositories_list_branches",
          "List the branches of a repository",
          "As its host has had them within the last half minute. What may be asked for is what a prompt may be submitted for.",
        ),
        response: { 200: "ListBranchesOutput", 304: NotModified, ...errorResponses(401, 409, 422, 500) },
      },
    );
}

const toDto = ({ repo, targetBranch, title, source, lastUsedAt }: ListedRepo): RepositoryDto => ({
  repo,
  target_branch: targetBranch,
  title,
  source,
  last_used_at: lastUsedAt?.toISOString() ?? null,
});
