/** TypeBox's own types: Elysia's `t.Integer` accepts text too, also in bodies. */
import { type Static, Type as t } from "@sinclair/typebox";
import { AnyJson, enumOf, Id, NextCursor, nullable, outcome, Timestamp } from "../api/schemas.ts";

export const PermissionStatus = enumOf(["pending", "allowed", "denied", "expired", "cancelled"], {
  description:
    "expired: nobody answered in time, which denies it; cancelled: the agent withdrew it, or its run has ended",
});
const PermissionDecision = enumOf(["allow", "allow_run", "deny"], {
  description: "allow_run: this, and what the tool asks for the rest of the run",
});
export type PermissionDecision = Static<typeof PermissionDecision>;

const PermissionDto = t.Object({
  id: Id,
  prompt_id: Id,
  session_id: Id,
  request_id: { ...Id, description: "Of the event `permission_request` in the conversation" },
  tool: t.String({ description: "As the agent calls it", examples: ["Bash"] }),
  title: nullable(
    t.String({ description: "What the agent says of it", examples: ["Run the project's tests"] }),
  ),
  input: { ...AnyJson, description: "What the tool would get", examples: [{ command: "npm test" }] },
  status: PermissionStatus,
  decision: { ...nullable(PermissionDecision), description: "Null: there is none" },
  asked_at: Timestamp,
  expires_at: { ...Timestamp, description: "When it is denied if nobody answers" },
  answered_at: nullable(Timestamp),
  answered_by: nullable(
    t.String({ description: "Who answered. Null: nobody, or the service", examples: ["alice"] }),
  ),
  reason: nullable(
    t.String({ description: "Why it was denied", examples: ["Use the staging database instead."] }),
  ),
});
export type PermissionDto = Static<typeof PermissionDto>;

export const permissionModels = {
  PermissionDto,
  PermissionStatus,
  PermissionDecision,
  ListPermissionsOutput: t.Object({ permissions: t.Array(PermissionDto), next_cursor: NextCursor }),
  AnswerPermissionInput: t.Object({
    decision: PermissionDecision,
    reason: t.Optional(
      t.String({
        maxLength: 2_000,
        description: "What the agent is told, above all of a denial",
        examples: ["Use the staging database instead."],
      }),
    ),
  }),
  AnswerPermissionOutput: t.Object(outcome),
};
