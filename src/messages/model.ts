import { type Static, t } from "elysia";
import { AnyJson, Done, Id, NextCursor, Time } from "../api/schemas.ts";

const data = {
  ...AnyJson,
  description: "An event as the agent prints it; its uuid, where it has one, is unique within the prompt",
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
    description: "Its place in the session, from 1; ascending, and never used twice",
    examples: [1],
  }),
  data,
  created_at: Time,
  updated_at: Time,
});
export type MessageDto = Static<typeof MessageDto>;

export const messageModels = {
  MessageDto,
  CreateMessageInput: t.Object({ prompt_id: Id, data }),
  CreateMessageOutput: t.Object({ ...Done, id: Id }),
  ReadMessageOutput: t.Object({ message: MessageDto }),
  UpdateMessageInput: t.Object({ data }),
  UpdateMessageOutput: t.Object(Done),
  DeleteMessageOutput: t.Object(Done),
  ListMessagesOutput: t.Object({ messages: t.Array(MessageDto), next_cursor: NextCursor }),
};
