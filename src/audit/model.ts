import { type Static, t } from "elysia";
import { NextCursor, paging, Timestamp, TimestampInput } from "../api/schemas.ts";

const AuditEntryDto = t.Object({
  seq: t.Integer({ description: "Position in the log, from 1, without gaps", examples: [17] }),
  at: Timestamp,
  actor: t.String({
    description: "A user's id, or the name of a part of the service",
    examples: ["9f3c2a52-1c1f-4d8e-9a0c-5b1f2d3e4a5b"],
  }),
  action: t.String({ examples: ["session.create"] }),
  target: t.String({
    description: "What it was done to: kind and id",
    examples: ["session:019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708"],
  }),
  detail: t.Record(t.String(), t.Any(), {
    description: "Depends on the action; never the content of a prompt, a token or a secret",
    examples: [{ repo: "owner/name" }],
  }),
  hash: t.String({
    description:
      "SHA-256 of the previous entry's hash (64 zeros before the first), a line break, and the JSON array [seq, at, actor, action, target, detail] without white space and with sorted keys",
    examples: ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
  }),
});
export type AuditEntryDto = Static<typeof AuditEntryDto>;

export const auditModels = {
  AuditEntryDto,
  ListAuditOutput: t.Object({ entries: t.Array(AuditEntryDto), next_cursor: NextCursor }),
};

export const auditQuery = t.Object({
  ...paging,
  limit: t.Optional({ ...paging.limit, description: "Page size. Default: 100" }),
  from: t.Optional({ ...TimestampInput, description: "Not before this time" }),
  to: t.Optional({ ...TimestampInput, description: "Before this time" }),
  actor: t.Optional(
    t.String({ maxLength: 1_000, description: "Only what this user or part did", examples: ["alice"] }),
  ),
  action: t.Optional(
    t.String({ maxLength: 100, description: "Only this action", examples: ["session.create"] }),
  ),
});
