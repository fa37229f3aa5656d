import { type Static, Type } from "@sinclair/typebox";
import { t } from "elysia";
import { enumOf, nullable, outcome, Timestamp } from "../api/schemas.ts";
import { PULL_REQUEST_STATES } from "../db/columns.ts";
import { EffectDto } from "../effects/model.ts";
import { MERGE_METHODS } from "../forges/forge.ts";
import { MAX_BODY, MAX_TITLE } from "./text.ts";

const PullRequestDto = t.Object(
  {
    number: t.Integer({ description: "As people write it", examples: [42] }),
    url: t.String({ description: "Its page", examples: ["https://github.com/owner/name/pull/42"] }),
    title: t.String({ examples: ["Fix the login timeout"] }),
    state: enumOf(PULL_REQUEST_STATES),
    draft: t.Boolean({ examples: [false] }),
    base: t.String({ description: "Branch that it wants to change", examples: ["main"] }),
    head: nullable(
      t.String({
        description: "The last commit that was seen at its head",
        examples: ["3f8a1c0d9e7b4a6f8c2d5e1b0a9f7c6d4e3b2a10"],
      }),
    ),
    mergeable: nullable(t.Boolean({ description: "Null: the host does not know", examples: [true] })),
    checks: nullable(
      t.Array(
        t.Object({
          name: t.String({ examples: ["build"] }),
          status: enumOf(["pending", "passed", "failed", "skipped"]),
          url: nullable(t.String({ examples: ["https://ci.example.com/1"] })),
        }),
        { description: "Null: they are not known" },
      ),
    ),
    reviews: nullable(
      t.Array(
        t.Object({
          reviewer: t.String({ examples: ["ada"] }),
          state: enumOf(["approved", "changes_requested", "commented", "pending"]),
          at: nullable(Timestamp),
        }),
        { description: "The last word of each reviewer. Null: they are not known" },
      ),
    ),
    created_at: Timestamp,
    read_at: t.String({ ...Timestamp, description: "When the host was asked last" }),
  },
  { description: "The pull request of a session (GitLab: merge request), as its host showed it last" },
);
export type PullRequestDto = Static<typeof PullRequestDto>;

/** One line or more. TypeBox's own type: Elysia's accepts other values as text. */
const text = (maxLength: number, description: string, example: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, description, examples: [example] }));

export const pullRequestModels = {
  PullRequestDto,
  CreatePullRequestInput: t.Object({
    title: text(MAX_TITLE, "Default: the session's", "Fix the login timeout"),
    body: text(MAX_BODY, "Markdown. Default: what was asked, what was done, how to check it", "Closes #12"),
    draft: t.Optional(Type.Boolean({ description: "Default: false", examples: [false] })),
    base: text(200, "Default: the session's target branch", "main"),
  }),
  MergePullRequestInput: t.Object({
    method: t.Optional(enumOf(MERGE_METHODS, { description: "Default: merge" })),
    head: t.Optional(
      t.String({
        pattern: "^([0-9a-f]{40}|[0-9a-f]{64})$",
        description: "The `head` that whoever merges has seen: another one is not merged (409)",
        examples: ["3f8a1c0d9e7b4a6f8c2d5e1b0a9f7c6d4e3b2a10"],
      }),
    ),
  }),
  ChangePullRequestOutput: t.Object({
    ...outcome,
    pull_request: nullable(PullRequestDto),
    effect: nullable(EffectDto),
  }),
  ReadPullRequestOutput: t.Object({
    pull_request: nullable(PullRequestDto),
    problem: nullable(
      t.String({
        description: "Why the host could not be asked just now",
        examples: ["GitHub does not answer."],
      }),
    ),
  }),
};
