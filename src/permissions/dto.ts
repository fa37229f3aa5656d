import type { PermissionStatus } from "../db/columns.ts";
import type { permissionRequest } from "../db/talk-tables.ts";
import type { PermissionDto } from "./model.ts";

export type PermissionRow = typeof permissionRequest.$inferSelect;

const DECISIONS: Readonly<Record<PermissionStatus, PermissionDto["decision"]>> = {
  pending: null,
  allowed: "allow",
  allowed_run: "allow_run",
  denied: "deny",
  expired: "deny",
  cancelled: null,
};

/** A question of an agent as clients see it. */
export const toPermissionDto = (row: PermissionRow): PermissionDto => ({
  id: row.id,
  prompt_id: row.promptId,
  session_id: row.sessionId,
  request_id: row.requestId,
  tool: row.tool,
  title: row.title,
  input: row.input,
  status: row.status === "allowed_run" ? "allowed" : row.status,
  decision: DECISIONS[row.status],
  asked_at: row.askedAt.toISOString(),
  expires_at: row.expiresAt.toISOString(),
  answered_at: row.answeredAt?.toISOString() ?? null,
  answered_by: row.answeredBy,
  reason: row.reason,
});
