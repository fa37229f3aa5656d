import { sql } from "drizzle-orm";
import { type AnyPgColumn, timestamp, uuid } from "drizzle-orm/pg-core";

/** One turn of a session's conversation, as `session.messages` keeps it. `at` is ISO 8601 in UTC. */
export interface Turn {
  role: "user" | "assistant";
  content: string;
  prompt_id: string;
  at: string;
}

/** What identifies a running agent beyond doubt, on the machine where it runs. */
export interface AgentProcess {
  /** The DATA_DIR's machine, as in a sandbox's config. */
  host: string;
  /** Names its journal and exit files in the sandbox's folder. */
  id: string;
  pid: number;
  /** In clock ticks since boot, as /proc says. */
  started: number;
  /** The kernel's boot id. */
  boot: string;
  /** It went on from what it remembered of the conversation. */
  resumed?: boolean;
  /** Its work is being taken to its branch: what happened then is not known when the runner dies. */
  delivering?: boolean;
}

/** One failed try of a prompt, kept as evidence. `at` is ISO 8601 in UTC. */
export interface Failure {
  attempt: number;
  at: string;
  kind: (typeof FAILURE_KINDS)[number];
  error: string;
}

export const INBOX_STATUSES = ["Pending", "Processing", "Completed", "Failed", "Cancelled"] as const;
export const SESSION_STATUSES = ["Active", "Completed", "Failed"] as const;
export const PROMPT_STATUSES = ["Queued", "Running", "Completed", "Failed", "Cancelled"] as const;
export const CANCELLATION_STATUSES = ["Requested", "Cancelled"] as const;
export const DLQ_STATUSES = ["Pending", "Resolved", "Abandoned"] as const;
/** What kind of failure ended a run; it decides what happens next (`runs/failures.ts`). */
export const FAILURE_KINDS = [
  "transient",
  "agent",
  "configuration",
  "poison",
  "interrupted",
  "limit",
] as const;

export const id = () => uuid("id").primaryKey();
/** Milliseconds are what JavaScript can carry back: a cursor made from a row must find that row again. */
export const at = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });
/** Now, rounded as stored times are: `now()` alone can be half a millisecond before a time just stored from it. */
export const storedNow = sql`now()::timestamptz(3)`;
export const times = () => ({
  createdAt: at("created_at").notNull().defaultNow(),
  updatedAt: at("updated_at").notNull().defaultNow(),
});
export const oneOf = (column: AnyPgColumn, values: readonly string[]) =>
  sql`${column} in (${sql.raw(values.map((value) => `'${value}'`).join(", "))})`;
