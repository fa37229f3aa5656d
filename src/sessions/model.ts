import { type Static, t } from "elysia";
import { AnyJson, Id, nullable, Time } from "../wire.ts";
import { UI_STATUSES, type UiStatus } from "./ui-status.ts";

const NAME = { minLength: 1, maxLength: 2_000 };
const repo = t.String({ ...NAME, description: "owner/name, or an https URL", examples: ["owner/name"] });
const target_branch = t.String({
  ...NAME,
  description: "The branch that the work starts from",
  examples: ["main"],
});

const SessionDto = t.Object({
  id: Id,
  sbxConfig: nullable(
    t.Object({ provider: t.String(), id: t.String() }, { description: "The sandbox that is held" }),
  ),
  parent: nullable(Id),
  branch: t.String(),
  repo: t.String(),
  targetBranch: t.String(),
  title: t.String(),
  uiStatus: t.Unsafe<UiStatus>(t.Union(UI_STATUSES.map((status) => t.Literal(status)))),
  inboxStatus: t.String({
    description: "Where the newest work stands: Pending, Processing, Completed, Failed or Cancelled",
  }),
  sessionStatus: t.String({ description: "Active, Completed (archived) or Failed" }),
  createdAt: Time,
  updatedAt: Time,
  deletedAt: nullable(Time),
  cancellationStatus: nullable(t.Union([t.Literal("Requested"), t.Literal("Cancelled")])),
  cancelledAt: nullable(Time),
  cancelledBy: nullable(t.String()),
  messages: t.Optional(
    t.Array(t.Object({ role: t.String(), content: t.String(), prompt_id: Id, at: Time }), {
      description: "The conversation, on the single read only",
    }),
  ),
});
export type SessionDto = Static<typeof SessionDto>;

export const sessionModels = {
  SessionDto,
  CreateSessionInput: t.Object({
    repo,
    target_branch,
    parent: t.Optional(nullable(Id)),
    messages: t.Optional(AnyJson),
  }),
  CreateSessionOutput: t.Object({ success: t.Boolean(), message: t.String(), id: Id }),
  CreateSessionWithPromptInput: t.Object({
    repo,
    target_branch,
    messages: AnyJson,
    parent_id: t.Optional(nullable(Id)),
  }),
  CreateSessionWithPromptOutput: t.Object({
    success: t.Boolean(),
    message: t.String(),
    sessionId: Id,
    promptId: Id,
  }),
  ListSessionsOutput: t.Object({ sessions: t.Array(SessionDto) }),
  ReadSessionOutput: t.Object({ session: SessionDto }),
};
