import { sql } from "drizzle-orm";
import { bigint, index, integer, jsonb, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import { at, id, times } from "./columns.ts";
import type { AgentReport } from "./json-columns.ts";

export const outbox = pgTable(
  "outbox",
  {
    id: id(),
    topic: text("topic").notNull(),
    /** The entity that the job is about. */
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
    index("outbox_published").on(t.publishedAt).where(sql`${t.publishedAt} is not null`),
    index("outbox_waiting_key").on(t.key).where(sql`${t.publishedAt} is null`),
  ],
);

/** Replies to requests with an Idempotency-Key; kept for 24 h. */
export const idempotencyKey = pgTable(
  "idempotency_key",
  {
    userId: text("user_id").notNull(),
    key: text("key").notNull(),
    /** A hash of the operation and the body. The same key with another fingerprint is refused. */
    fingerprint: text("fingerprint").notNull(),
    response: jsonb("response").$type<unknown>().notNull(),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.key] }), index("idempotency_key_created").on(t.createdAt)],
);

/** Request counts by user and address when there is no Redis, in the schema of rate-limiter-flexible. */
export const requestLimit = pgTable(
  "request_limit",
  {
    key: text("key").primaryKey(),
    points: integer("points").notNull().default(0),
    /** Milliseconds since 1970. */
    expire: bigint("expire", { mode: "number" }),
  },
  (t) => [index("request_limit_expire").on(t.expire)],
);

/** The last heartbeat of each task of each process. */
export const taskHeartbeat = pgTable(
  "task_heartbeat",
  {
    task: text("task").notNull(),
    /** A process has a new id after each start. */
    process: text("process").notNull(),
    host: text("host").notNull(),
    beatenAt: at("beaten_at").notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.task, t.process] })],
);

/** The agents that each process which runs prompts has, or could have. Kept for a day after its end. */
export const workerAgent = pgTable(
  "worker_agent",
  {
    process: text("process").notNull(),
    agent: text("agent").notNull(),
    host: text("host").notNull(),
    report: jsonb("report").$type<AgentReport>().notNull(),
    /** When it was reported as available last. Null: never. */
    availableAt: at("available_at"),
    reportedAt: at("reported_at").notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.process, t.agent] }), index("worker_agent_name").on(t.agent)],
);
