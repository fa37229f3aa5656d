import { sql } from "drizzle-orm";
import { boolean, index, integer, pgTable, text } from "drizzle-orm/pg-core";
import { at } from "./columns.ts";

/**
 * Whose turn it is: a row a user with unfinished prompts, kept by triggers, so that a claim finds the next user in an index
 * however many wait. Limits are counted where they are true, in the index of what runs; this is the order alone.
 *
 * `ready` says that a prompt of the user may be able to start. Whatever could make one able sets it, under a lock that any
 * number of transactions share; that none is able is found by claims, which then clear it (runs/turns-store.ts).
 */
export const userTurn = pgTable(
  "user_turn",
  {
    userId: text("user_id").primaryKey(),
    /** How many prompts run. What waits with its sandbox takes nobody's slot. */
    running: integer("running").notNull().default(0),
    /** When a prompt was started last. */
    startedAt: at("started_at"),
    ready: boolean("ready").notNull().default(true),
    /** Unless it is ready: when the first of those that wait for a later time is due. Null: none waits for that. */
    dueAt: at("due_at"),
  },
  (t) => [
    index("user_turn_next").on(t.running, t.startedAt.asc().nullsFirst(), t.userId).where(sql`${t.ready}`),
    index("user_turn_due").on(t.dueAt).where(sql`not ${t.ready} and ${t.dueAt} is not null`),
  ],
);
