import type { DlqDto } from "./model.ts";
import { redact } from "./redact.ts";
import type { DeadLetterRow } from "./store.ts";

/** A dead letter as clients see it. */
export function toDlqDto(row: DeadLetterRow): DlqDto {
  return {
    id: row.id,
    task_type: row.taskType,
    entity_id: row.entityId,
    entity_data: redact(row.entityData),
    kind: row.kind,
    retry_count: row.retryCount,
    last_error: row.lastError,
    last_error_at: row.lastErrorAt.toISOString(),
    first_failed_at: row.firstFailedAt.toISOString(),
    status: row.status,
    resolution_notes: row.resolutionNotes,
    resolved_by: row.resolvedBy,
    resolved_at: row.resolvedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}
