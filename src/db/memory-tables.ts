import { sql } from "drizzle-orm";
import { bigint, index, jsonb, pgTable, primaryKey, text, uuid } from "drizzle-orm/pg-core";
import { at, bytes, id } from "./columns.ts";
import type { MemoryFile } from "./json-columns.ts";
import { session } from "./tables.ts";

/** What a session's agent remembered at the end of a prompt. The newest one counts; older ones are for forks. */
export const agentMemory = pgTable(
  "agent_memory",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    /** The prompt that it ends with; in a fork, one of the session that it was forked from. */
    promptId: uuid("prompt_id").notNull(),
    agent: text("agent").notNull(),
    files: jsonb("files").$type<MemoryFile[]>().notNull(),
    /** Of all files, unpacked. */
    bytes: bigint("bytes", { mode: "number" }).notNull(),
    /** Why nothing of it could be kept, a StateProblem. */
    problem: text("problem"),
    storedAt: at("stored_at").notNull().defaultNow(),
  },
  (t) => [
    index("agent_memory_session").on(t.sessionId, t.storedAt),
    index("agent_memory_stored").on(t.storedAt, t.id),
  ],
);

/**
 * What a session could not push to its branch: a bundle of the commits that the target branch lacks, in pieces. A push
 * removes it.
 */
export const unpushedWork = pgTable(
  "unpushed_work",
  {
    sessionId: uuid("session_id")
      .primaryKey()
      .references(() => session.id, { onDelete: "cascade" }),
    commit: text("commit").notNull(),
    /** Null: it has always been too large. If `host` is set, it may lack the newest commits. */
    bundle: jsonb("bundle").$type<MemoryFile>(),
    /** The machine that alone has the commit, because it is too large to be kept here. */
    host: text("host"),
    storedAt: at("stored_at").notNull().defaultNow(),
  },
  (t) => [index("unpushed_work_host").on(t.host).where(sql`${t.host} is not null`)],
);

/**
 * Pieces of files, packed with zstd and named after their content: transcripts grow at their end, so that all versions of
 * a session's memory share their pieces but the last ones. Bundles of unpushed work are in such pieces, too.
 */
export const sessionChunk = pgTable(
  "session_chunk",
  {
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    /** SHA-256 of the unpacked piece, base64url. */
    hash: text("hash").notNull(),
    data: bytes("data").notNull(),
    /** When a run last needed it. One that no memory names any more is purged some time later. */
    usedAt: at("used_at").notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.sessionId, t.hash] })],
);
