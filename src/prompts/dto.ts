import type { PromptRow } from "../lifecycle/ownership.ts";
import type { PromptDto } from "./model.ts";

/** A prompt as clients see it. */
export function toPromptDto(row: PromptRow): PromptDto {
  return {
    id: row.id,
    session_id: row.sessionId,
    kind: row.kind,
    data: row.data,
    seq: row.seq,
    priority: row.priority,
    status: row.status,
    attempt: row.attempt,
    error: row.error,
    error_kind: row.errorKind,
    waiting_for: row.waitingFor,
    waiting_reason: row.waitingFor && row.error,
    waiting_since: row.waitingFor && (row.outage?.since ?? null),
    next_attempt_at: row.waitingFor && (row.notBefore?.toISOString() ?? null),
    usage: row.usage,
    commit: row.commit,
    memory: row.memory,
    memory_reason: row.memoryReason,
    phases: phasesOf(row),
    isolation: row.isolation,
    started_at: row.startedAt?.toISOString() ?? null,
    finished_at: row.finishedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}

function phasesOf({ phases, finishedAt }: PromptRow): PromptDto["phases"] {
  const begun = phases.map(({ name, started_at }) => ({
    name,
    started_at: new Date(started_at).toISOString(),
  }));
  return finishedAt ? [...begun, { name: "finished", started_at: finishedAt.toISOString() }] : begun;
}
