import { type Static, t } from "elysia";
import {
  AnyJson,
  enumOf,
  Id,
  NextCursor,
  nullable,
  outcome,
  Priority,
  PUBLISHED,
  paging,
  publishedAs,
  Timestamp,
  WaitingFor,
} from "../api/schemas.ts";
import {
  CANCELLATION_STATUSES,
  INBOX_STATUSES,
  SANDBOX_PROVIDERS,
  SESSION_STATUSES,
  TURN_ROLES,
} from "../db/columns.ts";
import { choiceFields, RunMode } from "../fleet/model.ts";
import { UI_STATUSES } from "../lifecycle/ui-status.ts";
import { SYNC_STRATEGIES } from "../sandboxes/sandbox.ts";

/** What becomes of a wish to take the target branch in. */
const SYNC_STATUSES = ["queued", "up_to_date", "conflicts"] as const;
const NAME = { minLength: 1, maxLength: 2_000 };
const repo = t.String({ ...NAME, description: "owner/name, or an https URL", examples: ["owner/name"] });
const target_branch = t.String({
  ...NAME,
  description: "The branch that work starts from",
  examples: ["main"],
});
const title = t.String({ minLength: 1, maxLength: 500, pattern: "\\S", examples: ["Fix the login timeout"] });

const UiStatus = enumOf(UI_STATUSES);
const InboxStatus = enumOf(INBOX_STATUSES, { description: "State of the newest work" });
const SessionStatus = enumOf(SESSION_STATUSES, {
  description: "Completed: archived. Failed: until it gets a new prompt",
});
const CancellationStatus = enumOf(CANCELLATION_STATUSES);
const SandboxDto = t.Object(
  {
    provider: enumOf(SANDBOX_PROVIDERS),
    id: t.String({ examples: ["019ab3c4-5d6e-7f80-91a2-b3c4d5e6f70a"] }),
  },
  { description: "The sandbox that the session holds" },
);

const TurnDto = t.Object(
  {
    role: enumOf(TURN_ROLES),
    content: t.String({ examples: ["Fix the login timeout"] }),
    prompt_id: Id,
    at: Timestamp,
  },
  { description: "A part of the conversation" },
);

export const SessionDto = t.Object({
  id: Id,
  sbxConfig: nullable(SandboxDto),
  parent: nullable(Id),
  branch: t.String({ examples: ["prompt/fix-the-login-timeout-1x7k9c2"] }),
  repo: t.String({ examples: ["owner/name"] }),
  targetBranch: t.String({ examples: ["main"] }),
  title: t.String({ examples: ["Fix the login timeout"] }),
  uiStatus: UiStatus,
  inboxStatus: InboxStatus,
  sessionStatus: SessionStatus,
  waitingFor: nullable(WaitingFor),
  waitingReason: nullable(
    t.String({ description: "Why its next prompt waits", examples: ["The model's API cannot be reached."] }),
  ),
  nextAttemptAt: nullable({ ...Timestamp, description: "When that prompt is tried again" }),
  agent: nullable(
    t.String({
      description:
        "What its next prompt has if it names none. Null: the default of the worker that starts it",
      examples: ["claude"],
    }),
  ),
  model: nullable(
    t.String({
      description: "The same. Null: the agent's own choice",
      examples: ["claude-sonnet-4-5"],
    }),
  ),
  mode: RunMode,
  commentsVersion: t.Integer({
    description: "Higher after each change of its comments: then list them again",
    examples: [3],
  }),
  promptsVersion: t.Integer({
    description: "Higher after each change of its prompts, a new one included: then list them again",
    examples: [12],
  }),
  unread: t.Boolean({
    description:
      "Whether a run has ended, well or not, since its user marked it as seen last. Runs that its user cancelled do not count",
    examples: [false],
  }),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  deletedAt: nullable(Timestamp),
  cancellationStatus: nullable(CancellationStatus),
  cancelledAt: nullable(Timestamp),
  cancelledBy: nullable(t.String({ description: "The user who cancelled it", examples: ["alice"] })),
  messages: t.Optional(
    t.Array(TurnDto, { description: "The conversation; only when a single session is read" }),
  ),
});
export type SessionDto = Static<typeof SessionDto>;

const messages = {
  ...AnyJson,
  ...publishedAs("PromptData"),
  description: "The first prompt; stored as sent",
  examples: [[{ content: "Fix the login timeout" }]],
};

export const sessionQuery = t.Object({
  ...paging,
  status: t.Optional(
    t.Array(UiStatus, {
      description:
        "Only sessions in one of these states; repeat the parameter, or separate values with commas",
    }),
  ),
  repo: t.Optional(
    t.String({
      maxLength: 2_000,
      description: "Only sessions of this repository, as it was sent",
      examples: ["owner/name"],
    }),
  ),
  q: t.Optional(
    t.String({
      maxLength: 500,
      description: "Only sessions whose title contains this text, in any case",
      examples: ["login"],
    }),
  ),
  order: t.Optional(enumOf(["newest", "oldest"], { description: "Sort order. Default: newest first" })),
});

export const sessionModels = {
  SessionDto,
  SandboxDto,
  TurnDto,
  UiStatus,
  InboxStatus,
  WaitingFor,
  RunMode,
  SessionStatus,
  CancellationStatus,
  CreateSessionInput: t.Object({
    repo,
    target_branch,
    parent: t.Optional(nullable(Id)),
    messages: t.Optional({
      ...messages,
      [PUBLISHED]: { oneOf: [messages[PUBLISHED], { type: "null" }] },
      description: "The first prompt, if any; stored as sent",
    }),
    priority: t.Optional(Priority),
    ...choiceFields,
  }),
  CreateSessionOutput: t.Object({ ...outcome, id: Id }),
  CreateSessionWithPromptInput: t.Object({
    repo,
    target_branch,
    messages,
    parent_id: t.Optional(nullable(Id)),
    priority: t.Optional(Priority),
    ...choiceFields,
  }),
  CreateSessionWithPromptOutput: t.Object({ ...outcome, sessionId: Id, promptId: Id }),
  UpdateSessionInput: t.Object({
    id: { ...Id, description: "The same as in the path" },
    title: t.Optional(nullable(title)),
    branch: t.Optional(
      nullable(
        t.String({
          ...NAME,
          description: "Only before the first prompt has started",
          examples: ["prompt/fix-the-login-timeout"],
        }),
      ),
    ),
    repo: t.Optional(nullable({ ...repo, description: "Only before the first prompt has started" })),
    target_branch: t.Optional(
      nullable({ ...target_branch, description: "Only before the first prompt has started" }),
    ),
    parent: t.Optional(nullable({ ...Id, description: "null removes it" })),
    sbx_config: t.Optional({
      ...AnyJson,
      description: "Managed by the service: send the current value, or leave it out",
      examples: [null],
    }),
    ui_status: t.Optional(
      nullable({ ...UiStatus, description: "Archived to archive; NeedsReview to unarchive" }),
    ),
  }),
  UpdateSessionOutput: t.Object(outcome),
  MarkSessionSeenInput: t.Optional(
    t.Object({
      unread: t.Optional(
        t.Boolean({ description: "true marks it as unread again. Default: false", examples: [true] }),
      ),
    }),
  ),
  MarkSessionSeenOutput: t.Object(outcome),
  DeleteSessionOutput: t.Object(outcome),
  PushSessionOutput: t.Object({
    ...outcome,
    prompt_id: { ...Id, description: "The prompt of kind `push` that tells how it ends" },
  }),
  SyncSessionInput: t.Optional(
    t.Object({
      strategy: t.Optional(
        enumOf(SYNC_STRATEGIES, {
          description:
            "merge: a commit that joins the two. rebase: the session's commits are made again on top of the target branch, and replace its branch. Default: merge",
        }),
      ),
    }),
  ),
  SyncSessionOutput: t.Object({
    ...outcome,
    status: enumOf(SYNC_STATUSES, {
      description:
        "queued: git does it, when the session's earlier prompts have ended. up_to_date: there is nothing to do. conflicts: git cannot do it, and nothing was queued",
    }),
    prompt_id: nullable({
      ...Id,
      description: "The prompt of kind `sync` that tells how it ends, if it was queued",
    }),
    conflicts: t.Array(t.String(), {
      description: "The files that both sides have changed",
      examples: [["src/login.ts"]],
    }),
    suggested_prompt: nullable(
      t.String({
        description: "What would have the agent resolve the conflicts: send it with POST /prompts",
        examples: ["Merge origin/main into this branch …"],
      }),
    ),
  }),
  ForkSessionInput: t.Optional(
    t.Object({
      prompt_id: t.Optional({
        ...Id,
        description: "Where to fork: at its end. Default: the prompt that has ended last",
      }),
      title: t.Optional({
        ...title,
        description: "Of the new session. Default: Fork of, and that of this one",
        examples: ["Another fix of the login timeout"],
      }),
    }),
  ),
  ForkSessionOutput: t.Object({ ...outcome, id: { ...Id, description: "The new session" } }),
  CancelSessionOutput: t.Object(outcome),
  ListSessionsOutput: t.Object({ sessions: t.Array(SessionDto), next_cursor: NextCursor }),
  ReadSessionOutput: t.Object({ session: SessionDto }),
};
