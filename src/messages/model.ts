import { type Static, t } from "elysia";
import { AnyJson, Id, NextCursor, outcome, publishedAs, Timestamp, withOtherFields } from "../api/schemas.ts";

const EXAMPLE = {
  type: "assistant",
  uuid: "5b0f2c1e-7d4a-4f63-9a51-2f6b8c3d4e5f",
  message: { role: "assistant", content: [{ type: "text", text: "Done." }] },
};
const data = {
  ...AnyJson,
  description:
    "An AgentEvent where an agent printed it, else what a client sent; its `uuid`, if any, is unique within the prompt",
  examples: [EXAMPLE],
};
const sentData = { ...data, ...publishedAs("MessageData"), description: "Stored as sent" };

const ContentBlock = t.Object(
  {
    type: t.String({ description: "text, thinking, tool_use, tool_result, …", examples: ["text"] }),
    text: t.Optional(t.String({ examples: ["Done."] })),
    id: t.Optional(t.String({ description: "Of a tool_use", examples: ["toolu_01"] })),
    name: t.Optional(t.String({ description: "Of a tool_use: the tool", examples: ["Bash"] })),
    input: t.Optional({ ...AnyJson, description: "Of a tool_use", examples: [{ command: "ls" }] }),
    tool_use_id: t.Optional(t.String({ description: "Of a tool_result", examples: ["toolu_01"] })),
    content: t.Optional({ ...AnyJson, description: "Of a tool_result", examples: ["README.md"] }),
    is_error: t.Optional(t.Boolean({ description: "Of a tool_result" })),
  },
  { ...withOtherFields, description: "A part of a message; blocks of other types have other fields" },
);
const AgentMessage = t.Object(
  {
    role: t.String({ examples: ["assistant"] }),
    content: t.Union([t.String(), t.Array(ContentBlock)], { examples: ["Done."] }),
  },
  withOtherFields,
);
const AgentEvent = t.Object(
  {
    type: t.String({ description: "assistant, user, system or result", examples: ["assistant"] }),
    uuid: t.Optional(t.String({ examples: [EXAMPLE.uuid] })),
    message: t.Optional(AgentMessage),
  },
  {
    ...withOtherFields,
    description: "An event as agents print it; other fields depend on its type",
    examples: [EXAMPLE],
  },
);
const MessageData = t.Union([AgentEvent, t.String()], {
  description: "What web clients show is an AgentEvent. Any other JSON is stored, too",
  examples: [EXAMPLE],
});

export const MessageDto = t.Object({
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
  ContentBlock,
  AgentMessage,
  AgentEvent,
  MessageData,
  CreateMessageInput: t.Object({ prompt_id: Id, data: sentData }),
  CreateMessageOutput: t.Object({ ...outcome, id: Id }),
  ReadMessageOutput: t.Object({ message: MessageDto }),
  UpdateMessageInput: t.Object({ data: sentData }),
  UpdateMessageOutput: t.Object(outcome),
  DeleteMessageOutput: t.Object(outcome),
  ListMessagesOutput: t.Object({ messages: t.Array(MessageDto), next_cursor: NextCursor }),
};
