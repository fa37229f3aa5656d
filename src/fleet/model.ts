import { t } from "elysia";
import { AGENT_NAME, enumOf, MODEL_NAME, nullable } from "../api/schemas.ts";
import { AGENT_MEMORY_KINDS, MODEL_APIS, RUN_MODES } from "../db/columns.ts";

export const RunMode = enumOf(RUN_MODES, {
  description: "auto: the agent decides by itself; ask: it asks before it does what could do harm",
});
const AgentMemory = enumOf(AGENT_MEMORY_KINDS, {
  description:
    "What the agent remembers from one prompt of a session to the next: its transcript, the files that it has kept, or none of it",
});
const ModelApi = enumOf(MODEL_APIS, { description: "Whose API it speaks to its model" });

const AgentName = t.String({ ...AGENT_NAME, examples: ["claude"] });
const ModelName = t.String({ ...MODEL_NAME, examples: ["claude-sonnet-4-5"] });

/** What a prompt may be sent with, besides its text. */
export const choiceFields = {
  agent: t.Optional({
    ...AgentName,
    description:
      "One of GET /agents. Default: that of the session's newest prompt; without one, that of the worker which starts it",
  }),
  model: t.Optional({
    ...ModelName,
    description:
      "As the agent calls it. Default: that of the session's newest prompt, if its agent is the same",
  }),
  mode: t.Optional({
    ...RunMode,
    description: `${RunMode.description}. Default: that of the session's newest prompt; without one, auto`,
  }),
  max_turns: t.Optional(
    t.Integer({
      minimum: 1,
      maximum: 1_000,
      description:
        "How many turns the agent may take: answers of its model, or rounds of tool calls where only those can be counted. It fails when it would need more. Refused for agents whose `max_turns` in GET /agents is false",
      examples: [50],
    }),
  ),
  budget_usd: t.Optional(
    t.Number({
      // Money is counted in billionths.
      minimum: 1e-9,
      maximum: 1_000_000,
      description:
        "What its model calls may cost, US dollars; not more than the deployment or the repository's project allows. Default: what the repository's project says, or the deployment allows. Before it would cost more it waits, with what it has done delivered, until its budget is raised",
      examples: [2.5],
    }),
  ),
};

/** The same, as a prompt is read. */
export const chosenFields = {
  agent: nullable(
    t.String({
      description:
        "The agent that works on it. Null: the default of the worker that will start it; or it needs none",
      examples: ["claude"],
    }),
  ),
  model: nullable(t.String({ description: "Null: the agent's own choice", examples: ["claude-sonnet-4-5"] })),
  mode: RunMode,
  max_turns: nullable(t.Integer({ description: "Null: any number", examples: [50] })),
  budget_usd: nullable(
    t.Number({
      format: "double",
      description: "Its own budget, US dollars. Null: what its project says, or the deployment allows",
      examples: [2.5],
    }),
  ),
};

const AgentDto = t.Object({
  name: t.String({ examples: ["claude"] }),
  title: t.String({ examples: ["Claude Code"] }),
  version: nullable(t.String({ description: "Null: unknown", examples: ["2.1.330"] })),
  available: t.Boolean({ description: "Whether a worker that is running can run it" }),
  reason: nullable(
    t.String({
      description: "Why not, and what to install or set. Null: it is available",
      examples: ["Claude Code needs access to a model: set ANTHROPIC_API_KEY."],
    }),
  ),
  models: t.Array(t.String(), {
    description: "The models that may be chosen. Empty: any that its API has",
    examples: [["claude-sonnet-4-5"]],
  }),
  modes: t.Array(RunMode, { description: "The modes that it has", examples: [["auto"]] }),
  steering: t.Boolean({
    description: "Whether it takes messages while it works: see `POST /prompts/{id}/steer`",
  }),
  max_turns: t.Boolean({
    description:
      "Whether it keeps to `max_turns` of a prompt. A prompt with a limit is refused for one that does not",
  }),
  memory: AgentMemory,
  model_api: { ...nullable(ModelApi), description: `${ModelApi.description}. Null: it needs none` },
  default: t.Boolean({ description: "Whether it works on prompts that name none" }),
});

export const fleetModels = {
  AgentDto,
  RunMode,
  AgentMemory,
  ModelApi,
  ListAgentsOutput: t.Object({
    agents: t.Array(AgentDto, { description: "The default first" }),
  }),
};
