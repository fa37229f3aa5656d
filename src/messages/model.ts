import { type Static, t } from "elysia";
import { AnyJson, Id, NextCursor, outcome, Timestamp } from "../api/schemas.ts";

const data = {
  ...AnyJson,
  description: "An event as the agent printed it; its `uuid`, if any, is unique within the prompt",
  examples: [
    {
      type: "assistant",
      uuid: "5b0f2c1e-7d4a-4f63-9a51-2f6b8c3d4e5f",
      message: { role: "assistant", content: [{ type: "text", text: "Done." }] },
    },
  ],
};

const MessageDto = t.Object({
  id: Id,
  prompt_id: Id,
  seq: t.Integer({
    description: "Position in the session, from 1; never reused",
    examples: [1],
  }),
  data,
  attempt: t.Integer({
    description: "Which attempt of the prompt it belongs to, from 1. A resumed agent continues its attempt",
    examples: [1],
  }),
  superseded: t.Boolean({
    description:
      "Whether the prompt has started over since, from a clean checkout: the work that it tells of is gone",
    examples: [false],
  }),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type MessageDto = Static<typeof MessageDto>;

export const messageModels = {
  MessageDto,
  CreateMessageInput: t.Object({ prompt_id: Id, data }),
  CreateMessageOutput: t.Object({ ...outcome, id: Id }),
  ReadMessageOutput: t.Object({ message: MessageDto }),
  UpdateMessageInput: t.Object({ data }),
  UpdateMessageOutput: t.Object(outcome),
  DeleteMessageOutput: t.Object(outcome),
  ListMessagesOutput: t.Object({ messages: t.Array(MessageDto), next_cursor: NextCursor }),
};
