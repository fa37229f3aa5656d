import { type Static, t } from "elysia";
import { AnyJson, Id, NextCursor, nullable, outcome, Priority, Timestamp } from "../api/schemas.ts";
import { FAILURE_KINDS, type MemoryKind, type PromptKind } from "../db/columns.ts";

const PromptDto = t.Object({
  id: Id,
  session_id: Id,
  kind: t.Unsafe<PromptKind>(
    t.String({
      description: "agent: an agent works on it; push: the session's branch is pushed",
      examples: ["agent"],
    }),
  ),
  data: { ...AnyJson, examples: [[{ content: "Fix the login timeout", type: "text" }]] },
  seq: t.Integer({ description: "Position in the session, from 1", examples: [1] }),
  priority: Priority,
  status: t.String({ description: "Queued, Running, Completed, Failed or Cancelled", examples: ["Queued"] }),
  attempt: t.Integer({ description: "Number of times it was started", examples: [1] }),
  error: nullable(
    t.String({ description: "Why it failed", examples: ["The agent ended with exit code 1."] }),
  ),
  error_kind: nullable(
    t.Unsafe<(typeof FAILURE_KINDS)[number]>(
      t.String({ description: `The kind of failure: ${FAILURE_KINDS.join(", ")}`, examples: ["agent"] }),
    ),
  ),
  usage: nullable(
    t.Record(t.String(), t.Number(), {
      description:
        "As reported by the agent; `peak_memory_bytes` and `peak_processes` (threads included) are measured",
      examples: [
        {
          turns: 3,
          input_tokens: 5210,
          output_tokens: 840,
          cost_usd: 0.031,
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
  memory: nullable(
    t.Unsafe<MemoryKind>(
      t.String({
        description:
          "What the agent knew of the session's earlier prompts: fresh (there were none), resumed (its own memory), replayed (that was lost, and the conversation went in as text) or cold (nothing). Null: it has not started",
        examples: ["resumed"],
      }),
    ),
  ),
  memory_reason: nullable(
    t.String({
      description: "Why the agent did not resume",
      examples: ["What was stored of the agent's memory is damaged."],
    }),
  ),
  started_at: nullable(Timestamp),
  finished_at: nullable(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type PromptDto = Static<typeof PromptDto>;

const data = {
  ...AnyJson,
  description:
    "A string, an object with `content`, `prompt`, `text` or `message`, or a list of those; stored as sent",
  examples: [[{ content: "Fix the login timeout", type: "text" }]],
};

export const promptModels = {
  PromptDto,
  CreatePromptInput: t.Object({ session_id: Id, data, priority: t.Optional(Priority) }),
  CreatePromptOutput: t.Object({ ...outcome, id: Id }),
  ReadPromptOutput: t.Object({ prompt: PromptDto }),
  UpdatePromptInput: t.Object({ data }),
  UpdatePromptOutput: t.Object(outcome),
  DeletePromptOutput: t.Object(outcome),
  ListPromptsOutput: t.Object({ prompts: t.Array(PromptDto), next_cursor: NextCursor }),
};
