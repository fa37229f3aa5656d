import type { User } from "../auth/claims.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { Forges } from "../forges/open-forges.ts";
import type { Logger } from "../observability/logger.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import type { SandboxProvider } from "../sandboxes/sandbox.ts";
import { openBranchLists, type RepositoryBranches } from "./branches.ts";
import { type ListedRepo, listRepositories } from "./list.ts";
import { recentRepositories } from "./store.ts";
import { openSuggestions, type Suggestions } from "./suggestions.ts";

/** What a user may want to work on. */
export interface Repositories {
  list(
    user: User,
    query: { q: string; limit: number },
  ): Promise<{ repositories: readonly ListedRepo[]; unavailable: Suggestions["unavailable"] }>;
  /** @throws AppError `invalid_repo`, `repository_unreadable`, `repository_unavailable`. */
  branches(user: User, repo: string): Promise<RepositoryBranches>;
  close(): Promise<void>;
}

const NONE: Suggestions = { repositories: [], unavailable: [] };

/** @param options.patienceMs how long a request waits for the hosts; for tests. */
export function openRepositories(options: {
  orm: Orm;
  config: Pick<Config, "githubUrl" | "forges" | "auth" | "dataDir" | "localRepositories">;
  forges: Pick<Forges, "all">;
  sandboxes: Pick<SandboxProvider, "branchesOf">;
  logger: Pick<Logger, "warn">;
  patienceMs?: number;
}): Repositories {
  const { orm, config, sandboxes, logger, patienceMs } = options;
  const rules = repoRules(config);
  const suggestions = openSuggestions({
    forges: options.forges.all,
    logger,
    ...(patienceMs !== undefined && { patienceMs }),
  });
  const branches = openBranchLists({ orm, rules, sandboxes });
  /** The names of private repositories are for those whose credential it is. */
  const maySeeSuggestions = ({ roles }: User) => config.auth.mode !== "oidc" || roles.includes("admin");

  return {
    async list(user, query) {
      const [recent, found] = await Promise.all([
        recentRepositories(orm, user.id),
        maySeeSuggestions(user) ? suggestions.find() : NONE,
      ]);
      const { repositories: suggested, unavailable } = found;
      return { repositories: listRepositories({ rules, recent, suggested, ...query }), unavailable };
    },
    branches: (user, repo) => branches.find(user.id, repo),
    async close() {
      suggestions.close();
      await branches.close();
    },
  };
}
