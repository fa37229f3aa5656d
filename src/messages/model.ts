import { type Static, t } from "elysia";
import { AnyJson, Id, Time } from "../wire.ts";

const MessageDto = t.Object({
  id: Id,
  prompt_id: Id,
  seq: t.Integer({ description: "Its place in the session, from 1, without gaps" }),
  data: AnyJson,
  created_at: Time,
  updated_at: Time,
});
export type MessageDto = Static<typeof MessageDto>;

export const messageModels = { MessageDto, ListMessagesOutput: t.Object({ messages: t.Array(MessageDto) }) };
