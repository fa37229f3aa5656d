import { type Static, t } from "elysia";
import { enumOf, Id, NextCursor, nullable, Timestamp } from "../api/schemas.ts";
import { EFFECT_KINDS, EFFECT_STATUSES } from "../db/columns.ts";

const Commit = t.String({ description: "A commit", examples: ["3f8a1c0d9e7b4a6f8c2d5e1b0a9f7c6d4e3b2a10"] });
const PullRequestNumber = t.Integer({ description: "Number of the pull request", examples: [42] });

export const EffectDto = t.Object(
  {
    id: Id,
    kind: enumOf(EFFECT_KINDS, { description: "What is done" }),
    target: t.String({
      description: "What it changes: a repository and a branch",
      examples: ["https://github.com/owner/name#prompt/fix-login"],
    }),
    status: enumOf(EFFECT_STATUSES, {
      description:
        "intended: written down, or under way. uncertain: it was begun, and nobody knows the result; it is looked up at its target before anything is done again. done, failed: how it ended",
    }),
    at: t.String({ ...Timestamp, description: "When it was written down" }),
    updated_at: t.String({ ...Timestamp, description: "When its status changed last" }),
    attempts: t.Integer({ description: "How often it was tried", examples: [1] }),
    prompt_id: nullable(Id),
    request: t.Object(
      {
        commit: t.Optional(Commit),
        base: t.Optional(
          t.String({ description: "Branch that a pull request wants to change", examples: ["main"] }),
        ),
        draft: t.Optional(t.Boolean()),
        number: t.Optional(PullRequestNumber),
        method: t.Optional(t.String({ description: "How it is merged", examples: ["squash"] })),
      },
      { description: "What is to be done, by kind" },
    ),
    result: nullable(
      t.Object(
        {
          reason: t.Optional(
            t.String({
              description: "Why it failed, or is tried again",
              examples: ["The branch is protected."],
            }),
          ),
          number: t.Optional(PullRequestNumber),
          url: t.Optional(t.String({ examples: ["https://github.com/owner/name/pull/42"] })),
          commit: t.Optional(Commit),
          notes: t.Optional(
            t.Array(t.String(), { description: "What the host did not accept of it", examples: [[]] }),
          ),
        },
        { description: "How it ended" },
      ),
    ),
  },
  { description: "Something that the service does outside of itself: it is written down before and after" },
);
export type EffectDto = Static<typeof EffectDto>;

export const effectModels = {
  EffectDto,
  ListEffectsOutput: t.Object({ effects: t.Array(EffectDto), next_cursor: NextCursor }),
};
