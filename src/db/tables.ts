import { sql } from "drizzle-orm";
import {
  type AnyPgColumn,
  bigint,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import type { SandboxConfig } from "../sandboxes/sandbox.ts";

/** One turn of a session's conversation, as `session.messages` keeps it. `at` is ISO 8601 in UTC. */
export interface Turn {
  role: "user" | "assistant";
  content: string;
  prompt_id: string;
  at: string;
}

export const INBOX_STATUSES = ["Pending", "Processing", "Completed", "Failed", "Cancelled"] as const;
export const SESSION_STATUSES = ["Active", "Completed", "Failed"] as const;
export const PROMPT_STATUSES = ["Queued", "Running", "Completed", "Failed", "Cancelled"] as const;
export const CANCELLATION_STATUSES = ["Requested", "Cancelled"] as const;
export const DLQ_STATUSES = ["Pending", "Resolved", "Abandoned"] as const;

const id = () => uuid("id").primaryKey();
/** Milliseconds are what JavaScript can carry back: a cursor made from a row must find that row again. */
const at = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });
const times = () => ({
  createdAt: at("created_at").notNull().defaultNow(),
  updatedAt: at("updated_at").notNull().defaultNow(),
});
const oneOf = (column: AnyPgColumn, values: readonly string[]) =>
  sql`${column} in (${sql.raw(values.map((value) => `'${value}'`).join(", "))})`;

export const session = pgTable(
  "session",
  {
    id: id(),
    userId: text("user_id").notNull(),
    repo: text("repo").notNull(),
    targetBranch: text("target_branch").notNull(),
    branch: text("branch").notNull(),
    title: text("title").notNull(),
    parent: uuid("parent").references((): AnyPgColumn => session.id, { onDelete: "set null" }),
    messages: jsonb("messages").$type<Turn[]>().notNull().default([]),
    inboxStatus: text("inbox_status", { enum: INBOX_STATUSES }).notNull().default("Pending"),
    sessionStatus: text("session_status", { enum: SESSION_STATUSES }).notNull().default("Active"),
    /** The sandbox that is held, from before it is made until after it is gone. */
    sbxConfig: jsonb("sbx_config").$type<SandboxConfig>(),
    cancellationStatus: text("cancellation_status", { enum: CANCELLATION_STATUSES }),
    cancelledAt: at("cancelled_at"),
    cancelledBy: text("cancelled_by"),
    ipReturnRetryCount: integer("ip_return_retry_count").notNull().default(0),
    /** Last prompt.seq and message.seq given out; counters in the row make both gapless under concurrency. */
    promptSeq: integer("prompt_seq").notNull().default(0),
    messageSeq: bigint("message_seq", { mode: "number" }).notNull().default(0),
    deletedAt: at("deleted_at"),
    ...times(),
  },
  (t) => [
    check("session_inbox_status", oneOf(t.inboxStatus, INBOX_STATUSES)),
    check("session_session_status", oneOf(t.sessionStatus, SESSION_STATUSES)),
    check("session_cancellation_status", oneOf(t.cancellationStatus, CANCELLATION_STATUSES)),
    check("session_not_empty", sql`${t.repo} <> '' and ${t.branch} <> '' and ${t.targetBranch} <> ''`),
    // Two sessions on one branch of one repository would push over each other.
    uniqueIndex("session_repo_branch").on(t.repo, t.branch),
    index("session_user").on(t.userId, t.createdAt, t.id).where(sql`${t.deletedAt} is null`),
    index("session_parent").on(t.parent).where(sql`${t.parent} is not null`),
    index("session_sandbox").on(t.updatedAt).where(sql`${t.sbxConfig} is not null`),
  ],
);

export const prompt = pgTable(
  "prompt",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    seq: integer("seq").notNull(),
    data: jsonb("data").$type<unknown>().notNull(),
    status: text("status", { enum: PROMPT_STATUSES }).notNull().default("Queued"),
    attempt: integer("attempt").notNull().default(0),
    leaseOwner: text("lease_owner"),
    /** Grows with each claim and never shrinks; every write of a run compares it. */
    leaseEpoch: bigint("lease_epoch", { mode: "number" }).notNull().default(0),
    leaseExpiresAt: at("lease_expires_at"),
    /** When a job for it was last written to the outbox; the poller's grace counts from here. */
    dispatchedAt: at("dispatched_at").notNull().defaultNow(),
    error: text("error"),
    usage: jsonb("usage").$type<Record<string, number>>(),
    startedAt: at("started_at"),
    finishedAt: at("finished_at"),
    ...times(),
  },
  (t) => [
    check("prompt_status", oneOf(t.status, PROMPT_STATUSES)),
    check(
      "prompt_lease",
      sql`(${t.status} = 'Running') = (${t.leaseOwner} is not null and ${t.leaseExpiresAt} is not null)`,
    ),
    uniqueIndex("prompt_session_seq").on(t.sessionId, t.seq),
    // The database itself refuses a second writer in a session.
    uniqueIndex("prompt_one_running").on(t.sessionId).where(sql`${t.status} = 'Running'`),
    index("prompt_unfinished").on(t.sessionId, t.seq).where(sql`${t.status} in ('Queued', 'Running')`),
    index("prompt_waiting").on(t.dispatchedAt).where(sql`${t.status} = 'Queued'`),
    index("prompt_lease_expires").on(t.leaseExpiresAt).where(sql`${t.status} = 'Running'`),
  ],
);

export const message = pgTable(
  "message",
  {
    id: id(),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    seq: bigint("seq", { mode: "number" }).notNull(),
    data: jsonb("data").$type<unknown>().notNull(),
    ...times(),
  },
  (t) => [
    uniqueIndex("message_session_seq").on(t.sessionId, t.seq),
    index("message_prompt_seq").on(t.promptId, t.seq),
  ],
);

export const outbox = pgTable(
  "outbox",
  {
    id: id(),
    topic: text("topic").notNull(),
    /** The entity the message is about. */
    key: text("key").notNull(),
    payload: jsonb("payload").$type<Record<string, string>>().notNull(),
    attempts: integer("attempts").notNull().default(0),
    nextAttemptAt: at("next_attempt_at").notNull().defaultNow(),
    lastError: text("last_error"),
    publishedAt: at("published_at"),
    ...times(),
  },
  (t) => [
    index("outbox_due").on(t.nextAttemptAt, t.id).where(sql`${t.publishedAt} is null`),
    index("outbox_waiting_key").on(t.key).where(sql`${t.publishedAt} is null`),
  ],
);

export const deadLetter = pgTable(
  "dead_letter_queue",
  {
    id: id(),
    taskType: text("task_type").notNull(),
    entityId: uuid("entity_id").notNull(),
    entityData: jsonb("entity_data").$type<unknown>(),
    retryCount: integer("retry_count").notNull().default(0),
    lastError: text("last_error").notNull(),
    lastErrorAt: at("last_error_at").notNull().defaultNow(),
    firstFailedAt: at("first_failed_at").notNull().defaultNow(),
    status: text("status", { enum: DLQ_STATUSES }).notNull().default("Pending"),
    resolutionNotes: text("resolution_notes"),
    ...times(),
  },
  (t) => [
    check("dead_letter_status", oneOf(t.status, DLQ_STATUSES)),
    index("dead_letter_status_created").on(t.status, t.createdAt),
    index("dead_letter_entity").on(t.entityId),
  ],
);
