import { type Static, t } from "elysia";
import {
  AnyJson,
  enumOf,
  Id,
  NextCursor,
  nullable,
  outcome,
  Priority,
  publishedAs,
  Timestamp,
  usd,
  WaitingFor,
  withOtherFields,
} from "../api/schemas.ts";
import {
  ATTACHMENT_KINDS,
  FAILURE_KINDS,
  MEMORY_KINDS,
  PROMPT_KINDS,
  PROMPT_PHASES,
  PROMPT_STATUSES,
  STEER_STATUSES,
} from "../db/columns.ts";
import { choiceFields, chosenFields, RunMode } from "../fleet/model.ts";
import { SCOPES } from "../spend/store.ts";

const PromptStatus = enumOf(PROMPT_STATUSES);
const PromptKind = enumOf(PROMPT_KINDS, {
  description:
    "agent: an agent works on it; push: the session's branch is pushed; sync: the target branch is taken into it",
});
const FailureKind = enumOf(FAILURE_KINDS, { description: "The kind of failure" });
const MemoryKind = enumOf(MEMORY_KINDS, {
  description:
    "What the agent knew of the session's earlier prompts: fresh (there were none), resumed (its own memory), replayed (that was lost, and the conversation went in as text) or cold (nothing)",
});

const PromptPhase = t.Object({
  name: enumOf(PROMPT_PHASES, {
    description:
      "queued: it waits for its run; preparing: its sandbox is made, with the checkout and the agent's memory; working: the agent runs; delivering: its work is committed and pushed; finished: the run has ended, as `status` says",
  }),
  started_at: { ...Timestamp, description: "It lasts until the next phase begins" },
});
const PromptIsolation = t.Object(
  {
    isolated: t.Boolean({ description: "Whether the agent was isolated at all" }),
    detail: t.String({
      description: "A sentence, as in GET /health/detail",
      examples: ["agents run under bubblewrap"],
    }),
  },
  { description: "How the sandbox was isolated when its agent was started" },
);

const WaitingBudget = t.Object(
  {
    scope: enumOf(SCOPES, {
      description:
        "What it is a budget of. Only that of a run can be raised (POST /prompts/{id}/resume); the others begin anew at `next_attempt_at`",
    }),
    limit_usd: t.Optional(
      usd("What it may cost, US dollars. Not there for the deployment's, which admins read", 2),
    ),
    spent_usd: t.Optional(usd("What it had cost; likewise", 1.93)),
    call_usd: usd("What the refused call could cost: with less than this left, it is refused again", 0.12),
  },
  { description: "The budget that it waits for, as it was when it was used up" },
);

const EXAMPLE = "Fix the login timeout";
/** A text, or what comes with it. One type, because typescript-fetch makes nothing that compiles of a list of either. */
const PromptBlock = t.Object(
  {
    type: t.Optional(
      t.String({
        description: `text (default), or one with a \`source\`: ${ATTACHMENT_KINDS.join(", ")}. image: PNG, JPEG, GIF or WebP, for agents that see, and as a file; document: PDF or text; file: anything`,
        examples: ["text"],
      }),
    ),
    text: t.Optional(t.String({ examples: [EXAMPLE] })),
    source: t.Optional(
      t.Object(
        {
          type: enumOf(["base64", "text", "attachment"], {
            description:
              "base64: `data` has the bytes, up to 5 MiB; text (of a document): it has the text; attachment: `id` is that of an attachment of one of your prompts, as in their `data`",
          }),
          media_type: t.Optional(t.String({ examples: ["image/png"] })),
          data: t.Optional(t.String({ examples: ["iVBORw0KGgo="] })),
          id: t.Optional(Id),
          bytes: t.Optional(t.Integer({ description: "Its size; only in replies", examples: [20_480] })),
        },
        withOtherFields,
      ),
    ),
    name: t.Optional(
      t.String({ description: "Of the file. Required for type file", examples: ["screenshot.png"] }),
    ),
    title: t.Optional(
      t.String({ description: "Its name, if there is no `name`", examples: ["Specification"] }),
    ),
  },
  {
    ...withOtherFields,
    description:
      "A text, or an image, a document or a file that comes with the prompt, up to 20 of them with 20 MiB together. A prompt's `data` has references in their place, and GET /attachments/{id} has the bytes",
  },
);
const PromptContent = t.Union([t.String(), t.Array(PromptBlock)], {
  examples: [EXAMPLE],
});
const promptBy = (field: "prompt" | "text" | "message") =>
  t.Object({ [field]: t.String({ examples: [EXAMPLE] }) }, withOtherFields);
/** A schema for each form, of which generated clients make one type: they tell them apart by the required field. */
const promptForms = {
  PromptByContent: t.Object({ content: PromptContent }, withOtherFields),
  PromptByPrompt: promptBy("prompt"),
  PromptByText: promptBy("text"),
  PromptByMessage: promptBy("message"),
};
/** A type of its own: typescript-fetch cannot have one both in the list and beside it. */
const PromptItem = t.Object(
  { content: PromptContent, type: t.Optional(t.String({ examples: ["text"] })) },
  withOtherFields,
);
const PromptData = t.Union([t.String(), ...Object.values(promptForms), t.Array(PromptItem)], {
  description: "A prompt, as clients send it. The texts of a list are joined by blank lines",
  examples: [[{ content: EXAMPLE, type: "text" }]],
});

const PromptDto = t.Object({
  id: Id,
  session_id: Id,
  kind: PromptKind,
  data: {
    ...AnyJson,
    description: "As it was sent, with references in place of attached bytes",
    examples: [[{ content: EXAMPLE, type: "text" }]],
  },
  seq: t.Integer({ description: "Position in the session, from 1", examples: [1] }),
  priority: Priority,
  ...chosenFields,
  status: PromptStatus,
  attempt: t.Integer({ description: "Number of times it was started", examples: [1] }),
  error: nullable(
    t.String({ description: "Why it failed", examples: ["The agent ended with exit code 1."] }),
  ),
  error_kind: nullable(FailureKind),
  waiting_for: nullable(WaitingFor),
  waiting_reason: nullable(
    t.String({
      description: "Why it waits",
      examples: [
        "The host of owner/name could not be reached (could not resolve host: github.com). Tried 4 times since 12:01; next attempt at 12:14 UTC.",
      ],
    }),
  ),
  waiting_since: nullable({
    ...Timestamp,
    description:
      "The first failed attempt in a row; after RETRY_TRANSIENT_HOURS the prompt becomes a dead letter. Null: it does not wait, or without end",
  }),
  next_attempt_at: nullable({
    ...Timestamp,
    description: "When it is tried again. Null: it does not wait, or nobody knows",
  }),
  waiting_budget: nullable(WaitingBudget),
  usage: nullable(
    t.Record(t.String(), t.Number({ format: "double" }), {
      description:
        "Of its model calls: `turns` (answers), `input_tokens`, `output_tokens` and `cost_usd`, as counted where they pass; not there if it has made none. `reported_` and the same names: what its agent says of itself. `peak_memory_bytes` and `peak_processes` (threads included) are measured",
      examples: [
        {
          turns: 3,
          input_tokens: 5210,
          output_tokens: 840,
          cost_usd: 0.031,
          reported_turns: 3,
          reported_cost_usd: 0.031,
          peak_memory_bytes: 412_516_352,
          peak_processes: 23,
        },
      ],
    }),
  ),
  commit: nullable(
    t.String({
      description:
        "The tip of the session's branch after it. Null: it has not ended, or its work was not delivered",
      examples: ["3f786850e387550fdab836ed7e6dc881de23001b"],
    }),
  ),
  memory: { ...nullable(MemoryKind), description: `${MemoryKind.description}. Null: it has not started` },
  memory_reason: nullable(
    t.String({
      description: "Why the agent did not resume",
      examples: ["What was stored of the agent's memory is damaged."],
    }),
  ),
  phases: t.Array(PromptPhase, {
    description:
      "The phases of its newest run so far, in order. A run that is tried again, or taken over after a crash, begins anew",
  }),
  isolation: {
    ...nullable(PromptIsolation),
    description: `${PromptIsolation.description}. Null: none has started`,
  },
  project_id: nullable({ ...Id, description: "The project whose settings its newest run had. Null: none" }),
  project_version: nullable(
    t.Integer({ description: "Which version of it. Null: no project", examples: [3] }),
  ),
  started_at: nullable(Timestamp),
  finished_at: nullable(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type PromptDto = Static<typeof PromptDto>;

export const SteerStatus = enumOf(STEER_STATUSES, {
  description:
    "pending: the agent has not taken it yet; delivered: it has; queued: it became a prompt, since the agent had ended or takes no messages; cancelled: with the prompt",
});
const SteerDto = t.Object({
  id: { ...Id, description: "`steer_id` of the event with which the agent says that it has taken it" },
  prompt_id: Id,
  session_id: Id,
  text: t.String({ examples: ["Use the existing helper instead of a new one."] }),
  status: SteerStatus,
  created_by: t.String({ description: "Who said it", examples: ["alice"] }),
  created_at: Timestamp,
  delivered_at: { ...nullable(Timestamp), description: "When the agent had taken it. Null: it has not" },
  queued_prompt_id: nullable({
    ...Id,
    description: "The prompt that it became. Null: none, or that is deleted",
  }),
});
export type SteerDto = Static<typeof SteerDto>;

const data = {
  ...AnyJson,
  ...publishedAs("PromptData"),
  description: "The prompt; stored as sent, with references in place of attached bytes",
  examples: [[{ content: EXAMPLE, type: "text" }]],
};

export const promptModels = {
  PromptDto,
  PromptStatus,
  PromptKind,
  FailureKind,
  WaitingFor,
  MemoryKind,
  PromptPhase,
  PromptIsolation,
  WaitingBudget,
  PromptBlock,
  PromptContent,
  ...promptForms,
  PromptItem,
  PromptData,
  RunMode,
  CreatePromptInput: t.Object({ session_id: Id, data, priority: t.Optional(Priority), ...choiceFields }),
  CreatePromptOutput: t.Object({ ...outcome, id: Id }),
  ReadPromptOutput: t.Object({ prompt: PromptDto }),
  UpdatePromptInput: t.Object({ data }),
  UpdatePromptOutput: t.Object(outcome),
  DeletePromptOutput: t.Object(outcome),
  RetryPromptOutput: t.Object(outcome),
  ResumePromptInput: t.Object({
    budget_usd: t.Number({
      minimum: 1e-9,
      maximum: 1_000_000,
      description: "What the prompt may cost in all, US dollars: more than it has cost",
      examples: [5],
    }),
  }),
  ResumePromptOutput: t.Object(outcome),
  SteerPromptInput: t.Object({
    text: t.String({
      minLength: 1,
      pattern: "\\S",
      description: "What to say",
      examples: ["Use the existing helper instead of a new one."],
    }),
  }),
  SteerPromptOutput: t.Object({
    ...outcome,
    delivered: enumOf(["running", "queued"], {
      description: "running: to the agent that works; queued: as a follow-up prompt",
    }),
    prompt_id: { ...Id, description: "The prompt that has it" },
    steer_id: { ...Id, description: "Of the event with which the agent says that it has taken it" },
  }),
  SteerDto,
  SteerStatus,
  ListSteersOutput: t.Object({ steers: t.Array(SteerDto), next_cursor: NextCursor }),
  ListPromptsOutput: t.Object({ prompts: t.Array(PromptDto), next_cursor: NextCursor }),
};
