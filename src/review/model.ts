import { type Static, t } from "elysia";
import { documentedErrors, enumOf, Id, NextCursor, nullable, paging } from "../api/schemas.ts";
import { FILE_STATUSES } from "../sandboxes/git/diff-output.ts";
import { ENTRY_TYPES } from "../sandboxes/git/reader.ts";

const COMMIT = "8f1f2b0c4d5e6f708192a3b4c5d6e7f808192a3b";
const PATH_HELP = "One whose name is not valid UTF-8 is written as git quotes it";
const Mode = nullable(
  t.String({
    description:
      "As git writes it: 100644, 100755 (executable), 120000 (symbolic link) or 160000 (submodule). Null: it does not exist there",
    examples: ["100644"],
  }),
);

const HunkDto = t.Object(
  {
    old_start: t.Integer({
      description: "Its first line, from 1; the line before, if it has none",
      examples: [10],
    }),
    old_lines: t.Integer({ examples: [3] }),
    new_start: t.Integer({ examples: [10] }),
    new_lines: t.Integer({ examples: [4] }),
    heading: t.String({
      description: "The function around it, if git sees one",
      examples: ["function login() {"],
    }),
    lines: t.Array(t.String(), {
      description:
        "Each begins with a space (on both sides), - (old), + (new), or \\ (a remark: no newline at the end of the file)",
      examples: [[" const a = 1;", "-const b = 2;", "+const b = 3;"]],
    }),
  },
  { description: "A part of a file that has changed, with lines around it" },
);

const FileDiffDto = t.Object(
  {
    path: t.String({ description: PATH_HELP, examples: ["src/login.ts"] }),
    old_path: nullable(t.String({ description: "Of a renamed file", examples: ["src/signin.ts"] })),
    status: enumOf(FILE_STATUSES),
    old_mode: Mode,
    new_mode: Mode,
    additions: t.Integer({ description: "In lines", examples: [1] }),
    deletions: t.Integer({ examples: [1] }),
    binary: t.Boolean({ examples: [false] }),
    too_large: t.Boolean({
      description: "The hunks were left out; ask for the file alone with path=",
      examples: [false],
    }),
    hunks: t.Array(HunkDto),
  },
  { description: "A changed file" },
);

const DiffOutput = t.Object({
  base: t.String({
    description:
      "The commit compared with: where the work has parted from its target branch (of a prompt, where it began)",
    examples: [COMMIT],
  }),
  head: t.String({ description: "The commit of the work", examples: [COMMIT] }),
  target_head: t.String({ description: "The commit of the target branch", examples: [COMMIT] }),
  mergeable: nullable(
    t.Boolean({
      description: "Whether git can merge the session's work into the target branch. Null: it cannot tell",
      examples: [true],
    }),
  ),
  conflicts: t.Array(t.String(), {
    description: "The files in which it cannot",
    examples: [["src/login.ts"]],
  }),
  additions: t.Integer({ description: "In lines, of all files", examples: [12] }),
  deletions: t.Integer({ examples: [3] }),
  truncated: t.Boolean({
    description: "Hunks (see too_large), or files beyond 20,000, were left out",
    examples: [false],
  }),
  files: t.Array(FileDiffDto),
});

const CommitDto = t.Object(
  {
    id: t.String({ examples: [COMMIT] }),
    parents: t.Array(t.String({ examples: [COMMIT] })),
    author: t.Object({
      name: t.String({ examples: ["Ada"] }),
      email: t.String({ examples: ["ada@example.com"] }),
    }),
    at: t.String({
      description: "ISO 8601, as its author wrote it",
      examples: ["2026-01-31T12:00:00+01:00"],
    }),
    subject: t.String({ examples: ["Fix the login timeout"] }),
    body: t.String({ examples: [""] }),
    prompt_id: nullable(
      t.String({ ...Id, description: "The prompt whose work it is. Null: somebody else's" }),
    ),
  },
  { description: "A commit of the session's branch" },
);
export type CommitDto = Static<typeof CommitDto>;

const FileEntryDto = t.Object(
  {
    name: t.String({ description: PATH_HELP, examples: ["login.ts"] }),
    path: t.String({ examples: ["src/login.ts"] }),
    type: enumOf(ENTRY_TYPES),
    executable: t.Boolean({ examples: [false] }),
    id: t.String({ description: "git's id of its content; of a submodule, its commit", examples: [COMMIT] }),
    size: nullable(t.Integer({ description: "In bytes, of a file", examples: [1234] })),
  },
  { description: "What a folder has at one name" },
);
const ListFilesOutput = t.Object({
  commit: t.String({ examples: [COMMIT] }),
  entries: t.Array(FileEntryDto),
  truncated: t.Boolean({ description: "The folder has more than is listed", examples: [false] }),
});

export const reviewModels = {
  HunkDto,
  FileDiffDto,
  DiffOutput,
  CommitDto,
  ListCommitsOutput: t.Object({ commits: t.Array(CommitDto), next_cursor: NextCursor }),
  FileEntryDto,
  ListFilesOutput,
};

const path = (description: string) =>
  t.Optional(t.String({ minLength: 1, maxLength: 8_192, description, examples: ["src/login.ts"] }));

export const diffQuery = t.Object({
  prompt_id: t.Optional(t.String({ ...Id, description: "The work of this prompt alone" })),
  path: path(`One file, with up to 8 MiB of hunks. ${PATH_HELP}`),
  context: t.Optional(
    t.Integer({
      minimum: 0,
      maximum: 1_000,
      description: "Lines around each change. Default: 3",
      examples: [3],
    }),
  ),
  detail: t.Optional(
    enumOf(["full", "summary"], {
      description: "summary: `files` is empty, the rest is of all of them. Default: full",
    }),
  ),
});

export const commitsQuery = t.Object(paging);

export const filesQuery = t.Object({
  path: path(`A file or a folder. Default: the root. ${PATH_HELP}`),
  ref: t.Optional(
    t.String({
      pattern: "^(head|target|[0-9a-f]{40}|[0-9a-f]{64})$",
      description:
        "head (the session's work), target (its target branch), or a commit of these. Default: head",
      examples: ["head"],
    }),
  ),
  lines: t.Optional(
    t.String({
      pattern: "^[1-9][0-9]{0,8}-[1-9][0-9]{0,8}$",
      description: "Of a text: its first and last line",
      examples: ["10-40"],
    }),
  ),
});

const responses = (schema: string, description: string, other: Record<string, unknown>) => ({
  200: {
    description,
    content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } }, ...other },
  },
  304: { description: "Not modified since the reply with this ETag" },
  ...documentedErrors(401, 404, 409, 413, 422, 429, 500, 503),
});
const bytes = { schema: { type: "string", format: "binary" } };

export const diffResponses = responses("DiffOutput", "The diff, in the form that Accept asks for", {
  "text/x-diff": { schema: { type: "string" }, example: "diff --git a/src/login.ts b/src/login.ts\n…" },
});
export const filesResponses = responses(
  "ListFilesOutput",
  "The entries of a folder, or the content of a file",
  {
    "text/plain": { schema: { type: "string" } },
    "image/*": bytes,
    "application/octet-stream": bytes,
  },
);
