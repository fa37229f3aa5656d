/** TypeBox's own types: Elysia's `t.Integer` accepts text too, also in bodies. */
import { type Static, Type as t } from "@sinclair/typebox";
import { enumOf, Id, NextCursor, nullable, outcome, Timestamp } from "../api/schemas.ts";
import { COMMENT_SIDES } from "../db/columns.ts";

const CommentSide = enumOf(COMMENT_SIDES, {
  description: "The side of the diff: old, before the work; new, after it",
});
const CommentStatus = enumOf(["open", "sent"], { description: "sent: a prompt quotes it" });
const Path = t.String({
  minLength: 1,
  // A quoted byte takes four characters.
  maxLength: 4 * 4_096,
  description: "As diffs show it",
  examples: ["src/login.ts"],
});
const Commit = t.String({
  pattern: "^([0-9a-f]{40}|[0-9a-f]{64})$",
  description:
    "The commit that has the path, and in it the lines: a diff's `head`; for the old side its `base`",
  examples: ["3f786850e387550fdab836ed7e6dc881de23001b"],
});
const Line = t.Integer({
  minimum: 1,
  maximum: 2_147_483_647,
  description: "From 1",
  examples: [12],
});
const Text = t.String({
  minLength: 1,
  maxLength: 10_000,
  pattern: "\\S",
  description: "What is said",
  examples: ["This waits for ever when the server is down."],
});

const LineDto = nullable({ ...Line, description: "The first of its lines. Null: it is about the file" });
const EndLineDto = nullable({ ...Line, description: "The last of its lines, often the same" });
const CommentPositionDto = t.Object(
  { path: Path, line: LineDto, end_line: EndLineDto },
  { description: "Where what a comment is about is today" },
);

const CommentDto = t.Object({
  id: Id,
  path: Path,
  commit: Commit,
  side: CommentSide,
  line: LineDto,
  end_line: EndLineDto,
  text: Text,
  code: t.String({
    description: "The lines, as they were when it was made; many or long ones end with `…`. Empty for a file",
    examples: ["await connect();"],
  }),
  status: CommentStatus,
  outdated: t.Boolean({
    description: "Its lines were changed or deleted since, or the file is gone",
    examples: [false],
  }),
  current: {
    ...nullable(CommentPositionDto),
    description:
      "Where that is in the session's branch as it is; of the old side, in what the work began from. Null: it is outdated, or the repository cannot be read at the moment",
  },
  prompt_id: nullable({ ...Id, description: "The prompt that quotes it" }),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type CommentDto = Static<typeof CommentDto>;

export const commentModels = {
  CommentDto,
  CommentPositionDto,
  CommentSide,
  CommentStatus,
  CreateCommentInput: t.Object({
    path: Path,
    commit: Commit,
    side: CommentSide,
    line: t.Optional({ ...Line, description: "The first line. Default: it is about the file" }),
    end_line: t.Optional({ ...Line, description: "The last line. Default: `line`" }),
    text: Text,
  }),
  CreateCommentOutput: t.Object({ ...outcome, id: Id }),
  UpdateCommentInput: t.Object({ text: Text }),
  UpdateCommentOutput: t.Object(outcome),
  DeleteCommentOutput: t.Object(outcome),
  ListCommentsOutput: t.Object({ comments: t.Array(CommentDto), next_cursor: NextCursor }),
  SendCommentsInput: t.Optional(
    t.Object({
      comment_ids: t.Optional(
        t.Array(Id, {
          minItems: 1,
          maxItems: 500,
          description: "Which comments. Default: all that are open",
        }),
      ),
      text: t.Optional({
        ...Text,
        description: "What the prompt begins with. Default: a sentence that asks to address the comments",
        examples: ["Please address these, and add a test for each."],
      }),
    }),
  ),
  SendCommentsOutput: t.Object({ ...outcome, prompt_id: { ...Id, description: "The follow-up prompt" } }),
};
