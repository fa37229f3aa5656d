import { type Static, t } from "elysia";
import { AnyJson, enumOf, Id, nullable, outcome, Timestamp, TimestampInput } from "../api/schemas.ts";
import { DLQ_STATUSES, FAILURE_KINDS } from "../db/columns.ts";
import { BULK_ACTIONS } from "./bulk-store.ts";

const DlqStatus = enumOf(DLQ_STATUSES);
const Kind = enumOf(FAILURE_KINDS);
const notes = t.Optional(
  nullable(
    t.String({
      maxLength: 10_000,
      description: "The reason, kept with the entry",
      examples: ["Fixed upstream"],
    }),
  ),
);

const DlqDto = t.Object({
  id: Id,
  task_type: t.String({ description: "What failed", examples: ["prompt-run"] }),
  entity_id: { ...Id, description: "The prompt, or the session whose sandbox could not be returned" },
  entity_data: {
    ...AnyJson,
    description: "Details of the failure, without secrets",
    examples: [{ attempts: 5 }],
  },
  kind: Kind,
  retry_count: t.Integer({ description: "Number of attempts", examples: [5] }),
  last_error: t.String({ examples: ["The repository could not be reached."] }),
  last_error_at: Timestamp,
  first_failed_at: Timestamp,
  status: DlqStatus,
  resolution_notes: nullable(t.String({ examples: ["Fixed upstream"] })),
  resolved_by: nullable(
    t.String({ description: "The user who resolved, abandoned or retried it", examples: ["alice"] }),
  ),
  resolved_at: nullable(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type DlqDto = Static<typeof DlqDto>;

export const statusQuery = t.Object({
  status: t.Optional(
    t.String({
      pattern: `^(?:${DLQ_STATUSES.map(anyCase).join("|")})$`,
      description: "pending, resolved or abandoned, in any case. Default: all",
      examples: ["pending"],
    }),
  ),
});

/** Patterns in JSON Schema have no flag for case-insensitive matching. */
function anyCase(word: string): string {
  return word.replace(/./g, (letter) => `[${letter.toLowerCase()}${letter.toUpperCase()}]`);
}

export const deadLetterModels = {
  DlqDto,
  DlqStatus,
  ListDlqOutput: t.Object({ entries: t.Array(DlqDto) }),
  ResolveDlqInput: t.Object({ resolution_notes: notes }),
  ResolveDlqOutput: t.Object(outcome),
  AbandonDlqInput: t.Object({ resolution_notes: notes }),
  AbandonDlqOutput: t.Object(outcome),
  RetryDlqInput: t.Object({ resolution_notes: notes }),
  RetryDlqOutput: t.Object(outcome),
  BulkDlqInput: t.Object({
    action: enumOf(BULK_ACTIONS),
    ids: t.Array(Id, { minItems: 1, maxItems: 100, uniqueItems: true }),
    resolution_notes: notes,
  }),
  BulkDlqOutput: t.Object({
    results: t.Array(
      t.Object({
        id: Id,
        ...outcome,
        code: t.Optional(
          t.String({ description: "Why not, as in an ErrorDto", examples: ["dead_letter_closed"] }),
        ),
      }),
    ),
  }),
  RetryDlqEntriesInput: t.Object({
    task_type: t.Optional(t.String({ maxLength: 200, examples: ["prompt-run"] })),
    kind: t.Optional(Kind),
    ids: t.Optional(t.Array(Id, { minItems: 1, maxItems: 500 })),
    failed_before: t.Optional({
      ...TimestampInput,
      description: "Only entries whose last failure was before this time",
    }),
    failed_after: t.Optional({
      ...TimestampInput,
      description: "Only entries whose last failure was at or after this time",
    }),
    resolution_notes: notes,
  }),
  RetryDlqEntriesOutput: t.Object({
    ...outcome,
    retried: t.Array(Id, { description: "Entries that are retried" }),
    skipped: t.Array(Id, {
      description: "Entries whose prompt or session was deleted or is no longer failed",
    }),
    more: t.Boolean({ description: "More entries match than one request retries (500): send it again" }),
  }),
};
