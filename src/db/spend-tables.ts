import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  date,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uuid,
} from "drizzle-orm/pg-core";
import { at, MODEL_APIS, oneOf } from "./columns.ts";

/**
 * How a call of a model stands: under way; answered; refused or failed by its API; its answer broke off, or its agent went away; or
 * whoever made it has died. In the last two its figures are estimates.
 */
const MODEL_CALL_STATUSES = ["open", "done", "failed", "broken", "lost"] as const;
/** Money in billionths of a US dollar: whole numbers, so that sums are exact. JavaScript's reach to nine million dollars. */
const nano = (name: string) => bigint(name, { mode: "number" }).notNull().default(0);
const count = (name: string) => bigint(name, { mode: "number" }).notNull().default(0);
const tokens = () => ({
  inputTokens: count("input_tokens"),
  outputTokens: count("output_tokens"),
  cacheReadTokens: count("cache_read_tokens"),
  cacheWriteTokens: count("cache_write_tokens"),
  cacheWrite1hTokens: count("cache_write_1h_tokens"),
  webSearches: count("web_searches"),
});

/** Each call of a model's API: written before it is made, with what it may cost, and after it, with what it did. */
export const modelCall = pgTable(
  "model_call",
  {
    id: uuid("id").primaryKey(),
    /** Null: of a session's title. */
    promptId: uuid("prompt_id"),
    /** Of the run's lease. */
    epoch: bigint("epoch", { mode: "number" }).notNull().default(0),
    sessionId: uuid("session_id").notNull(),
    userId: text("user_id").notNull(),
    repo: text("repo").notNull(),
    /** `(titles)`: the service itself. */
    agent: text("agent").notNull(),
    api: text("api", { enum: MODEL_APIS }).notNull(),
    /** As it was asked for; once its API has answered, as that names it. */
    model: text("model").notNull(),
    status: text("status", { enum: MODEL_CALL_STATUSES }).notNull().default("open"),
    /** Of the API's answer. Null: there was none. */
    httpStatus: integer("http_status"),
    /** What is kept free for it in its budgets while it is open. */
    reserved: nano("reserved"),
    cost: nano("cost"),
    ...tokens(),
    /** Whether any of these is an estimate. */
    estimated: boolean("estimated").notNull().default(false),
    /** About how many tokens its request has, for as long as the API has not counted them. */
    inputEstimate: count("input_estimate"),
    /** A hash of how its conversation begins: calls of one read what those before have cached. Empty: not known. */
    conversation: text("conversation").notNull().default(""),
    /** From its start to the first output, milliseconds. Null: there was none. */
    firstOutputMs: integer("first_output_ms"),
    durationMs: integer("duration_ms"),
    /** Its day, in UTC, is the day whose budgets it counts in. */
    startedAt: at("started_at").notNull().defaultNow(),
    endedAt: at("ended_at"),
  },
  (t) => [
    check("model_call_status", oneOf(t.status, MODEL_CALL_STATUSES)),
    index("model_call_open").on(t.startedAt).where(sql`${t.status} = 'open'`),
    index("model_call_session").on(t.sessionId, t.id),
    index("model_call_started").on(t.startedAt),
  ],
);

/** How much an API takes now, for all nodes: see the functions in its migration. */
export const modelApi = pgTable("model_api", {
  api: text("api", { enum: MODEL_APIS }).primaryKey(),
  /** Calls that are under way. */
  open: integer("open").notNull().default(0),
  /** It has said that it is overloaded: no call begins before. */
  backOffUntil: at("back_off_until"),
  /** In a row. */
  overloads: integer("overloads").notNull().default(0),
  /** How many calls at a time it is given until it has recovered. Null: it has. */
  allowed: integer("allowed"),
});

/** Users whose calls wait because an API takes no more now, on whatever node: they have a turn each, by how long they have waited. */
export const modelTurn = pgTable(
  "model_turn",
  {
    api: text("api", { enum: MODEL_APIS }).notNull(),
    userId: text("user_id").notNull(),
    /** When it had its last turn, or began to wait. */
    since: timestamp("since", { withTimezone: true }).notNull(),
    /** Who has not asked again by then does not wait any more. */
    until: timestamp("until", { withTimezone: true }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.api, t.userId] })],
);

/** What has been spent and is reserved: a row for each of the scopes that a call counts in. */
export const spend = pgTable(
  "spend",
  {
    /** Such as run, user_day. */
    scope: text("scope").notNull(),
    /** The id of a prompt or session, a user, or empty. */
    subject: text("subject").notNull(),
    /** The first day of the day or month, in UTC; of runs and sessions, 1970-01-01. */
    period: date("period", { mode: "string" }).notNull(),
    spent: nano("spent"),
    reserved: nano("reserved"),
    calls: count("calls"),
  },
  (t) => [primaryKey({ columns: [t.scope, t.subject, t.period] })],
);

/** The sums of ended calls, for reports: a row for a day, a prompt and a model. It outlives both the calls and the session. */
export const modelUsage = pgTable(
  "model_usage",
  {
    day: date("day", { mode: "string" }).notNull(),
    userId: text("user_id").notNull(),
    sessionId: uuid("session_id").notNull(),
    /** Of titles: the session's id. */
    promptId: uuid("prompt_id").notNull(),
    repo: text("repo").notNull(),
    agent: text("agent").notNull(),
    model: text("model").notNull(),
    calls: count("calls"),
    /** Those that were answered. */
    turns: count("turns"),
    estimatedCalls: count("estimated_calls"),
    ...tokens(),
    cost: nano("cost"),
  },
  (t) => [
    primaryKey({ columns: [t.promptId, t.day, t.model] }),
    index("model_usage_user").on(t.userId, t.day),
    index("model_usage_day").on(t.day),
    index("model_usage_session").on(t.sessionId),
  ],
);
