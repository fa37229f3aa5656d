/** TypeBox's own types: Elysia's `t.Integer` accepts text too, also in bodies. */
import { type Static, Type as t } from "@sinclair/typebox";
import {
  AGENT_NAME,
  enumOf,
  Id,
  MODEL_NAME,
  NextCursor,
  nullable,
  outcome,
  Timestamp,
} from "../api/schemas.ts";
import { RUN_MODES } from "../db/columns.ts";
import { PULL_REQUEST_MODES } from "../db/project-tables.ts";

const Repo = t.String({
  minLength: 1,
  maxLength: 2_000,
  description: "As sessions name it; all spellings of a repository are one",
  examples: ["owner/name"],
});
/** In the query of a list. */
export const RepoFilter = t.String({
  minLength: 1,
  maxLength: 2_000,
  description: "Only the project of this repository, in any of its spellings",
  examples: ["owner/name"],
});
const Instructions = t.String({
  description: "For the agent, before the repository's own CLAUDE.md; up to 32 KiB",
  examples: ["Run `npm test` before you commit."],
});
const SetupCommand = t.String({
  description:
    "A shell command that runs in the checkout before the agent, with the project's environment; up to 16 KiB. If it fails, so does the run",
  examples: ["npm ci"],
});
const Environment = t.Record(t.String(), t.String(), {
  description:
    "Variables of the agent and of the setup command, up to 100. What the service sets itself cannot be set: such as PATH, HOME, proxies, ANTHROPIC_* and GIT_*",
  examples: [{ NODE_ENV: "test" }],
});
const Servers = t.Record(t.String(), t.Any(), {
  description:
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference to a secret.
    "MCP servers in the shape of Claude Code's mcpServers. `${NAME}` is replaced by the project's secret of that name when a run starts",
  examples: [
    {
      docs: {
        type: "http",
        url: "https://mcp.example/docs",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the same.
        headers: { Authorization: "Bearer ${DOCS_TOKEN}" },
      },
    },
  ],
});
const Hosts = t.Array(t.String({ maxLength: 500, examples: ["registry.example"] }), {
  maxItems: 100,
  description:
    "What the sandboxes may reach besides EGRESS_ALLOW, in its form; never private addresses, and nothing where EGRESS=deny",
  examples: [["registry.example"]],
});
const AGENT = { description: "The agent of its prompts. Null: the deployment's", examples: ["claude"] };
const MODEL = {
  description: "The model of its prompts. Null: the agent's own",
  examples: ["claude-sonnet-4-5"],
};
const Mode = nullable(enumOf(RUN_MODES, { description: "How its prompts run. Null: auto" }));
const Budget = nullable(
  t.Number({
    exclusiveMinimum: 0,
    maximum: 1_000_000,
    format: "double",
    description:
      "What the model calls of a prompt may cost, US dollars; a prompt may ask for less. Null: what the deployment allows",
    examples: [5],
  }),
);
const PullRequest = nullable(
  enumOf(PULL_REQUEST_MODES, {
    description:
      "What pull request a run makes whose branch was pushed. Null: as the deployment does (PR_MODE)",
  }),
);

const SecretInfo = t.Object(
  { name: t.String({ examples: ["DOCS_TOKEN"] }), updated_at: Timestamp },
  { description: "A secret without its value, which is never returned" },
);
const ProjectDto = t.Object({
  id: Id,
  repo: Repo,
  instructions: Instructions,
  setup_command: SetupCommand,
  environment: Environment,
  secrets: t.Array(SecretInfo, { description: "Their names" }),
  mcp_servers: Servers,
  egress_hosts: Hosts,
  agent: nullable(t.String(AGENT)),
  model: nullable(t.String(MODEL)),
  mode: Mode,
  budget_usd: Budget,
  pull_request: PullRequest,
  version: t.Integer({
    description: "Incremented with each change; a prompt's `project_version` is the one that its run had",
    examples: [3],
  }),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type ProjectDto = Static<typeof ProjectDto>;

const settings = {
  instructions: t.Optional(Instructions),
  setup_command: t.Optional(SetupCommand),
  environment: t.Optional(Environment),
  secrets: t.Optional(
    t.Record(t.String(), nullable(t.String()), {
      description:
        "Values by name, sealed when they are stored: variables like those of `environment`, up to 50. A value of null removes one; those that are not named stay",
      examples: [{ DOCS_TOKEN: "d0cs_…", OLD_TOKEN: null }],
    }),
  ),
  mcp_servers: t.Optional(Servers),
  egress_hosts: t.Optional(Hosts),
  agent: t.Optional(nullable(t.String({ ...AGENT_NAME, ...AGENT }))),
  model: t.Optional(nullable(t.String({ ...MODEL_NAME, ...MODEL }))),
  mode: t.Optional(Mode),
  budget_usd: t.Optional(Budget),
  pull_request: t.Optional(PullRequest),
};
const UpdateProjectInput = t.Object({ repo: t.Optional(Repo), ...settings });
export type UpdateProjectInput = Static<typeof UpdateProjectInput>;

export const projectModels = {
  ProjectDto,
  ListProjectsOutput: t.Object({ projects: t.Array(ProjectDto), next_cursor: NextCursor }),
  ReadProjectOutput: t.Object({ project: ProjectDto }),
  CreateProjectInput: t.Object({ repo: Repo, ...settings }),
  CreateProjectOutput: t.Object({ ...outcome, id: Id }),
  UpdateProjectInput,
  UpdateProjectOutput: t.Object({ ...outcome, project: ProjectDto }),
  DeleteProjectOutput: t.Object(outcome),
};
