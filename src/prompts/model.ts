import { type Static, t } from "elysia";
import { AnyJson, Done, Id, NextCursor, nullable, Priority, Time } from "../api/schemas.ts";
import { FAILURE_KINDS } from "../db/columns.ts";

const PromptDto = t.Object({
  id: Id,
  session_id: Id,
  data: { ...AnyJson, examples: [[{ content: "Fix the login timeout", type: "text" }]] },
  seq: t.Integer({ description: "Its place in the session, from 1", examples: [1] }),
  priority: Priority,
  status: t.String({ description: "Queued, Running, Completed, Failed or Cancelled", examples: ["Queued"] }),
  attempt: t.Integer({ description: "How often it was started", examples: [1] }),
  error: nullable(
    t.String({ description: "Why it failed", examples: ["The agent ended with exit code 1."] }),
  ),
  error_kind: nullable(
    t.Unsafe<(typeof FAILURE_KINDS)[number]>(
      t.String({ description: `What kind of failure: ${FAILURE_KINDS.join(", ")}`, examples: ["agent"] }),
    ),
  ),
  usage: nullable(
    t.Record(t.String(), t.Number(), {
      description: "As the agent counts it",
      examples: [{ turns: 3, input_tokens: 5210, output_tokens: 840, cost_usd: 0.031 }],
    }),
  ),
  started_at: nullable(Time),
  finished_at: nullable(Time),
  created_at: Time,
  updated_at: Time,
});
export type PromptDto = Static<typeof PromptDto>;

const data = {
  ...AnyJson,
  description:
    "A text, an object with a content, prompt, text or message, or a list of those; stored as sent",
  examples: [[{ content: "Fix the login timeout", type: "text" }]],
};

export const promptModels = {
  PromptDto,
  CreatePromptInput: t.Object({ session_id: Id, data, priority: t.Optional(Priority) }),
  CreatePromptOutput: t.Object({ ...Done, id: Id }),
  ReadPromptOutput: t.Object({ prompt: PromptDto }),
  UpdatePromptInput: t.Object({ data }),
  UpdatePromptOutput: t.Object(Done),
  DeletePromptOutput: t.Object(Done),
  ListPromptsOutput: t.Object({ prompts: t.Array(PromptDto), next_cursor: NextCursor }),
};
