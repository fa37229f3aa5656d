import { sql } from "drizzle-orm";
import { isoTime, type JsonFields } from "../db/json-rows.ts";
import { session } from "../db/tables.ts";
import { uiStatusSql } from "../lifecycle/ui-status.ts";

const waiting = (field: "for" | "reason" | "until") => sql`${session.waiting} -> ${sql.raw(`'${field}'`)}`;

/** A session as clients see it, without its conversation: SessionDto, made by PostgreSQL. A test compares it with `toDto`. */
export const sessionJson = {
  id: session.id,
  // Identifies the sandbox without its secrets.
  sbxConfig: sql`case when jsonb_typeof(${session.sbxConfig}) = 'object' then jsonb_build_object('provider', ${session.sbxConfig} -> 'provider', 'id', ${session.sbxConfig} -> 'id') end`,
  parent: session.parent,
  branch: session.branch,
  repo: session.repo,
  targetBranch: session.targetBranch,
  title: session.title,
  uiStatus: uiStatusSql,
  inboxStatus: session.inboxStatus,
  sessionStatus: session.sessionStatus,
  waitingFor: waiting("for"),
  waitingReason: waiting("reason"),
  nextAttemptAt: waiting("until"),
  commentsVersion: session.commentsVersion,
  promptsVersion: session.promptsVersion,
  unread: session.unread,
  createdAt: isoTime(session.createdAt),
  updatedAt: isoTime(session.updatedAt),
  deletedAt: isoTime(session.deletedAt),
  cancellationStatus: session.cancellationStatus,
  cancelledAt: isoTime(session.cancelledAt),
  cancelledBy: session.cancelledBy,
} satisfies JsonFields;
