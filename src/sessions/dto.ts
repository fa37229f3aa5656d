import type { SessionDto } from "./model.ts";
import type { SessionRow } from "./store.ts";
import { uiStatusOf } from "./ui-status.ts";

/** Only what is meant for clients: of a sandbox its name, never its secrets. */
export function toDto(row: SessionRow): SessionDto {
  return {
    id: row.id,
    sbxConfig: row.sbxConfig && { provider: row.sbxConfig.provider, id: row.sbxConfig.id },
    parent: row.parent,
    branch: row.branch,
    repo: row.repo,
    targetBranch: row.targetBranch,
    title: row.title,
    uiStatus: uiStatusOf(row),
    inboxStatus: row.inboxStatus,
    sessionStatus: row.sessionStatus,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    deletedAt: row.deletedAt?.toISOString() ?? null,
    cancellationStatus: row.cancellationStatus,
    cancelledAt: row.cancelledAt?.toISOString() ?? null,
    cancelledBy: row.cancelledBy,
  };
}
