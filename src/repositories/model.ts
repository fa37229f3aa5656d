import { type Static, Type as t } from "@sinclair/typebox";
import { enumOf, nullable, Timestamp } from "../api/schemas.ts";
import { SOURCES } from "./list.ts";

export const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

export const repositoryQuery = t.Object({
  q: t.Optional(
    t.String({ maxLength: 200, description: "A part of the name or title, in any case", examples: ["shop"] }),
  ),
  limit: t.Optional(
    t.Integer({
      minimum: 1,
      maximum: MAX_LIMIT,
      description: `The most repositories. Default: ${DEFAULT_LIMIT}`,
      examples: [20],
    }),
  ),
});

export const branchQuery = t.Object({
  repo: t.String({
    minLength: 1,
    maxLength: 2_000,
    description: "As when a session is created",
    examples: ["owner/name"],
  }),
});

const BranchName = t.String({ examples: ["main"] });

const RepositoryDto = t.Object({
  repo: t.String({
    description:
      "For a new session: as your newest session names it, else its URL, which has no credentials, or path",
    examples: ["owner/name"],
  }),
  target_branch: nullable(
    t.String({
      description: "Of your newest session, else its default branch; null: none is known",
      examples: ["main"],
    }),
  ),
  title: t.String({ description: "Its short name", examples: ["owner/name"] }),
  source: enumOf(SOURCES, {
    description:
      "recent: you have a session with it; example: it was made to try the service with; forge: its host suggests it",
    examples: ["recent"],
  }),
  last_used_at: nullable({ ...Timestamp, description: "When your newest session with it was created" }),
});
export type RepositoryDto = Static<typeof RepositoryDto>;

export const repositoryModels = {
  RepositoryDto,
  ListRepositoriesOutput: t.Object({
    repositories: t.Array(RepositoryDto),
    unavailable: t.Array(
      t.Object({
        host: t.String({ examples: ["github.com"] }),
        reason: t.String({ examples: ["It has not answered in time."] }),
      }),
      { description: "Hosts of which all or some suggestions are missing" },
    ),
  }),
  ListBranchesOutput: t.Object({
    default_branch: nullable(BranchName),
    branches: t.Array(BranchName, { description: "By name, up to 1,000" }),
    truncated: t.Boolean({
      description: "It has more branches, which sessions may name as well",
      examples: [false],
    }),
  }),
};
