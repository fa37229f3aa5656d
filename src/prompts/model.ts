import { t } from "elysia";
import { AnyJson, Id, nullable, Time } from "../wire.ts";

const PromptDto = t.Object({
  id: Id,
  session_id: Id,
  data: AnyJson,
  seq: t.Integer({ description: "Its place in the session, from 1" }),
  status: t.String({ description: "Queued, Running, Completed, Failed or Cancelled" }),
  attempt: t.Integer({ description: "How often it was started" }),
  error: nullable(t.String()),
  usage: nullable(t.Record(t.String(), t.Number())),
  started_at: nullable(Time),
  finished_at: nullable(Time),
  created_at: Time,
  updated_at: Time,
});

export const promptModels = {
  PromptDto,
  CreatePromptInput: t.Object({ session_id: Id, data: AnyJson }),
  CreatePromptOutput: t.Object({ success: t.Boolean(), message: t.String(), id: Id }),
  ListPromptsOutput: t.Object({ prompts: t.Array(PromptDto) }),
};
