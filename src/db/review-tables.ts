import { sql } from "drizzle-orm";
import { check, index, integer, pgTable, text, uuid } from "drizzle-orm/pg-core";
import { COMMENT_SIDES, id, oneOf, times } from "./columns.ts";
import { prompt, session } from "./tables.ts";

/** What a session's user says about lines, or about a file, of its work. */
export const comment = pgTable(
  "comment",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    /** As diffs show it. */
    path: text("path").notNull(),
    /** The commit that has the path, and in it the lines. */
    commit: text("commit").notNull(),
    side: text("side", { enum: COMMENT_SIDES }).notNull(),
    /** Null: it is about the file. */
    line: integer("line"),
    /** The last of its lines. */
    endLine: integer("end_line"),
    text: text("text").notNull(),
    /** The lines, as far as they are kept; "" for a file. */
    code: text("code").notNull(),
    /** The prompt that quotes it. Null: none does, or that one was deleted before it ran. */
    sentPromptId: uuid("sent_prompt_id").references(() => prompt.id, { onDelete: "set null" }),
    ...times(),
  },
  (t) => [
    check("comment_side", oneOf(t.side, COMMENT_SIDES)),
    check("comment_lines", sql`(${t.line} is null) = (${t.endLine} is null) and ${t.line} <= ${t.endLine}`),
    index("comment_session").on(t.sessionId, t.id),
    index("comment_open").on(t.sessionId).where(sql`${t.sentPromptId} is null`),
    index("comment_sent_prompt").on(t.sentPromptId).where(sql`${t.sentPromptId} is not null`),
  ],
);
