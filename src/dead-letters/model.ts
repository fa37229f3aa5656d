import { type Static, t } from "elysia";
import { AnyJson, Done, Id, nullable, Time, WrittenTime } from "../api/schemas.ts";
import { DLQ_STATUSES, FAILURE_KINDS } from "../db/columns.ts";

const DlqStatus = t.Unsafe<(typeof DLQ_STATUSES)[number]>(
  t.Union(DLQ_STATUSES.map((status) => t.Literal(status))),
);
const Kind = t.Unsafe<(typeof FAILURE_KINDS)[number]>(t.Union(FAILURE_KINDS.map((kind) => t.Literal(kind))));
const notes = t.Optional(
  nullable(
    t.String({
      maxLength: 10_000,
      description: "Why, for whoever looks later",
      examples: ["Fixed upstream"],
    }),
  ),
);

const DlqDto = t.Object({
  id: Id,
  task_type: t.String({ description: "What was given up", examples: ["prompt-run"] }),
  entity_id: { ...Id, description: "The prompt, or the session whose sandbox could not be given back" },
  entity_data: {
    ...AnyJson,
    description: "What is known of it, without secrets",
    examples: [{ attempts: 5 }],
  },
  kind: Kind,
  retry_count: t.Integer({ description: "How often it was tried", examples: [5] }),
  last_error: t.String({ examples: ["The repository could not be reached."] }),
  last_error_at: Time,
  first_failed_at: Time,
  status: DlqStatus,
  resolution_notes: nullable(t.String({ examples: ["Fixed upstream"] })),
  resolved_by: nullable(
    t.String({ description: "The user who resolved, abandoned or retried it", examples: ["alice"] }),
  ),
  resolved_at: nullable(Time),
  created_at: Time,
  updated_at: Time,
});
export type DlqDto = Static<typeof DlqDto>;

export const statusQuery = t.Object({
  status: t.Optional(
    t.String({
      pattern: `^(?:${DLQ_STATUSES.map(anyCase).join("|")})$`,
      description: "pending, resolved or abandoned, in any case; without it, all",
      examples: ["pending"],
    }),
  ),
});

/** JSON Schema's patterns have no flag for it. */
function anyCase(word: string): string {
  return word.replace(/./g, (letter) => `[${letter.toLowerCase()}${letter.toUpperCase()}]`);
}

export const deadLetterModels = {
  DlqDto,
  DlqStatus,
  ListDlqOutput: t.Object({ entries: t.Array(DlqDto) }),
  ResolveDlqInput: t.Object({ resolution_notes: notes }),
  ResolveDlqOutput: t.Object(Done),
  AbandonDlqInput: t.Object({ resolution_notes: notes }),
  AbandonDlqOutput: t.Object(Done),
  RetryDlqInput: t.Object({ resolution_notes: notes }),
  RetryDlqOutput: t.Object(Done),
  RetryDlqEntriesInput: t.Object({
    task_type: t.Optional(t.String({ maxLength: 200, examples: ["prompt-run"] })),
    kind: t.Optional(Kind),
    ids: t.Optional(t.Array(Id, { minItems: 1, maxItems: 500 })),
    failed_before: t.Optional({ ...WrittenTime, description: "Only what failed last before this" }),
    failed_after: t.Optional({ ...WrittenTime, description: "Only what failed last at or after this" }),
    resolution_notes: notes,
  }),
  RetryDlqEntriesOutput: t.Object({
    ...Done,
    retried: t.Array(Id, { description: "Entries that were sent on their way again" }),
    skipped: t.Array(Id, { description: "Entries whose prompt or session is gone, or no longer failed" }),
    more: t.Boolean({ description: "More fit than one request takes (500): ask again" }),
  }),
};
