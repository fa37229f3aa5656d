import { sql } from "drizzle-orm";
import { boolean, index, integer, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import { at } from "./columns.ts";

/**
 * A row a user with unfinished prompts, kept by triggers. Limits are counted where they are true, in the index of what runs;
 * this is the order of turns alone, and the lock of the user's rows in `agent_turn`.
 */
export const userTurn = pgTable(
  "user_turn",
  {
    userId: text("user_id").primaryKey(),
    /** How many prompts run. What waits with its sandbox takes nobody's slot. */
    running: integer("running").notNull().default(0),
    /** When a prompt was started last. */
    startedAt: at("started_at"),
    /** This and the next are for workers from before `agent_turn`, which clear them. */
    ready: boolean("ready").notNull().default(true),
    dueAt: at("due_at"),
  },
  (t) => [
    index("user_turn_next").on(t.running, t.startedAt.asc().nullsFirst(), t.userId).where(sql`${t.ready}`),
    index("user_turn_due").on(t.dueAt).where(sql`not ${t.ready} and ${t.dueAt} is not null`),
  ],
);

/**
 * Whose turn it is: a row a user and an agent of whom a prompt may be able to start, so that a claim finds the next user in
 * the index ranges of its own agents, however many users wait, and for whichever other agents.
 *
 * Whatever could make a prompt able to start makes the row, under a lock of the user that any number of transactions share;
 * that none is able is found by claims, which then clear it (runs/turns-store.ts).
 */
export const agentTurn = pgTable(
  "agent_turn",
  {
    userId: text("user_id")
      .notNull()
      .references(() => userTurn.userId, { onDelete: "cascade" }),
    /** Empty: of prompts that name none. */
    agent: text("agent").notNull(),
    /** These two are the user's, copied by a trigger. */
    running: integer("running").notNull(),
    startedAt: at("started_at"),
    /** Null: one may be able to start now. Otherwise none is, and this is when the first that waits for a later time is due. */
    dueAt: at("due_at"),
  },
  (t) => [
    primaryKey({ columns: [t.userId, t.agent] }),
    index("agent_turn_next")
      .on(t.agent, t.running, t.startedAt.asc().nullsFirst(), t.userId)
      .where(sql`${t.dueAt} is null`),
    index("agent_turn_due").on(t.dueAt).where(sql`${t.dueAt} is not null`),
  ],
);
