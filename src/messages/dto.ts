import type { MessageDto } from "./model.ts";
import type { MessageRow } from "./store.ts";

/** A message as clients see it. */
export function toMessageDto(row: MessageRow): MessageDto {
  return {
    id: row.id,
    prompt_id: row.promptId,
    seq: row.seq,
    data: row.data,
    attempt: row.attempt,
    superseded: row.attempt <= row.redone,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}
