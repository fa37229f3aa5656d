import { sql } from "drizzle-orm";
import { check, index, jsonb, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import { at, id, oneOf, PERMISSION_STATUSES, STEER_STATUSES, times } from "./columns.ts";
import { prompt, session } from "./tables.ts";

/** What an agent asks before it does something; its user answers, or nobody does in time. */
export const permissionRequest = pgTable(
  "permission_request",
  {
    id: id(),
    /** By which the agent's driver knows it; unique within its prompt. */
    requestId: uuid("request_id").notNull(),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    tool: text("tool").notNull(),
    /** What the tool would get, as the agent says; bounded. */
    input: jsonb("input").$type<unknown>().notNull(),
    title: text("title"),
    status: text("status", { enum: PERMISSION_STATUSES }).notNull().default("pending"),
    askedAt: at("asked_at").notNull().defaultNow(),
    expiresAt: at("expires_at").notNull(),
    answeredAt: at("answered_at"),
    /** Null: nobody has, or it was the service. */
    answeredBy: text("answered_by"),
    reason: text("reason"),
    /** When the answer was put into the mailbox of its sandbox. */
    deliveredAt: at("delivered_at"),
    ...times(),
  },
  (t) => [
    check("permission_request_status", oneOf(t.status, PERMISSION_STATUSES)),
    check("permission_request_answered", sql`(${t.status} = 'pending') = (${t.answeredAt} is null)`),
    uniqueIndex("permission_request_of_prompt").on(t.promptId, t.requestId),
    index("permission_request_session").on(t.sessionId, t.id),
    index("permission_request_open").on(t.expiresAt).where(sql`${t.status} = 'pending'`),
    index("permission_request_undelivered")
      .on(t.promptId)
      .where(sql`${t.status} <> 'pending' and ${t.deliveredAt} is null`),
  ],
);

/** What a user has said to an agent while it worked. */
export const steer = pgTable(
  "steer",
  {
    id: id(),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    text: text("text").notNull(),
    createdBy: text("created_by").notNull(),
    status: text("status", { enum: STEER_STATUSES }).notNull().default("pending"),
    /** When it was put into the mailbox of the sandbox. */
    writtenAt: at("written_at"),
    /** When the agent had taken it. */
    deliveredAt: at("delivered_at"),
    /** The prompt that it has become, because the agent had not taken it. */
    queuedPromptId: uuid("queued_prompt_id").references(() => prompt.id, { onDelete: "set null" }),
    ...times(),
  },
  (t) => [
    check("steer_status", oneOf(t.status, STEER_STATUSES)),
    index("steer_prompt").on(t.promptId, t.id),
    index("steer_session").on(t.sessionId),
    index("steer_queued_prompt").on(t.queuedPromptId).where(sql`${t.queuedPromptId} is not null`),
    index("steer_pending").on(t.promptId).where(sql`${t.status} = 'pending'`),
  ],
);
