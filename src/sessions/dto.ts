import type { SandboxConfig } from "../db/json-columns.ts";
import { uiStatusOf } from "../lifecycle/ui-status.ts";
import type { SessionDto } from "./model.ts";
import { chosenOf, type SessionRow } from "./store.ts";

/** Identifies a sandbox without its secrets. */
export const toSandboxDto = (config: SandboxConfig | null) =>
  config && { provider: config.provider, id: config.id };

/** A session as clients see it, without its conversation. */
export function toDto(row: SessionRow): SessionDto {
  return {
    id: row.id,
    sbxConfig: toSandboxDto(row.sbxConfig),
    parent: row.parent,
    branch: row.branch,
    repo: row.repo,
    targetBranch: row.targetBranch,
    title: row.title,
    uiStatus: uiStatusOf(row),
    inboxStatus: row.inboxStatus,
    sessionStatus: row.sessionStatus,
    waitingFor: row.waiting?.for ?? null,
    waitingReason: row.waiting?.reason ?? null,
    nextAttemptAt: row.waiting?.until ?? null,
    ...chosenOf(row),
    commentsVersion: row.commentsVersion,
    promptsVersion: row.promptsVersion,
    unread: row.unread,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    deletedAt: row.deletedAt?.toISOString() ?? null,
    cancellationStatus: row.cancellationStatus,
    cancelledAt: row.cancelledAt?.toISOString() ?? null,
    cancelledBy: row.cancelledBy,
  };
}
