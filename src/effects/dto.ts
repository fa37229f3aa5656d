import type { EffectRow } from "./list-store.ts";
import type { EffectDto } from "./model.ts";

/** Without the title and the text that a pull request is to have, which may be long. */
export function toEffectDto(row: EffectRow): EffectDto {
  const { title: _title, body: _body, ...request } = row.request;
  const { code: _code, ...result } = row.result ?? {};
  return {
    id: row.id,
    kind: row.kind,
    target: row.target,
    status: row.status,
    at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
    attempts: row.attempts,
    prompt_id: row.promptId,
    request,
    result: row.result === null ? null : result,
  };
}
