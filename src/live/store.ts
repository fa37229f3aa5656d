import { and, asc, eq, getTableColumns, gt, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { message, prompt, session } from "../db/tables.ts";
import { ownedSession, ownedSessionById } from "../lifecycle/ownership.ts";
import type { MessageRow } from "../messages/store.ts";
import { type SessionRow, sessionColumns } from "../sessions/store.ts";

/** A page of messages ends after this many, or with the message that exceeds this many bytes. */
const PAGE_MESSAGES = 500;
const PAGE_BYTES = 256 * 1024;
const PAGE_SESSIONS = 200;

export interface LiveSession extends SessionRow {
  messageSeq: number;
  version: number;
}

/** A session at the start of a stream of all sessions. */
export interface InitialSession extends LiveSession {
  /** `seq` of the last message that the client has, or does not want. */
  start: number;
  /** When the transaction of its last message began, in milliseconds since 1970; 0 without messages. */
  lastAt: number;
}

const live = { ...sessionColumns, messageSeq: session.messageSeq, version: session.version };

/** Undefined: deleted, or not owned by this user. */
export async function findSession(orm: Orm, userId: string, id: string): Promise<LiveSession | undefined> {
  const [row] = await orm.select(live).from(session).where(ownedSessionById(userId, id));
  return row;
}

/** One page of the messages after `seq`, in order. Uses the index on (session_id, seq). */
export function messagesAfter(orm: Orm, sessionId: string, seq: number): Promise<MessageRow[]> {
  // The stored size is cheap to know, but compressible data is far larger when read. So the size of the text limits the
  // page too; it is computed only for what the stored size lets through.
  const last = sql`(select max(b.seq) from (
    select a.seq, sum(octet_length(a.data::text)) over (order by a.seq) - octet_length(a.data::text) as before from (
      select m.seq, m.data, sum(m.stored) over (order by m.seq) - m.stored as before from (
        select seq, data, pg_column_size(data) as stored from message
        where session_id = ${sessionId}::uuid and seq > ${seq}::bigint order by seq limit ${PAGE_MESSAGES}::int) m) a
    where a.before < ${PAGE_BYTES}::int) b
  where b.before < ${PAGE_BYTES}::int)`;
  return orm
    .select({ ...getTableColumns(message), redone: prompt.redone })
    .from(message)
    .innerJoin(prompt, eq(prompt.id, message.promptId))
    .where(and(eq(message.sessionId, sessionId), gt(message.seq, seq), sql`${message.seq} <= ${last}`))
    .orderBy(asc(message.seq));
}

/** Where each session's messages start for a client that reconnects: see cursor.ts. */
interface ResumePoint {
  since: number;
  /** Longest time between the start of a message's transaction and its commit. */
  commitWindowMs: number;
}

/**
 * One page of a user's sessions, oldest first.
 * @param options.resume undefined: `start` is the last message of each session.
 */
export async function pageOfSessions(
  orm: Orm,
  options: {
    userId: string;
    after: Pick<SessionRow, "createdAt" | "id"> | undefined;
    resume: ResumePoint | undefined;
  },
): Promise<{ rows: InitialSession[]; more: boolean }> {
  const { userId, after, resume } = options;
  const rows = await orm
    .select({ ...live, lastAt: LAST_AT.mapWith(Number), start: startOf(resume).mapWith(Number) })
    .from(session)
    .where(
      and(
        ownedSession(userId),
        // As one comparison, which an index begins with: of its two halves it would look through all earlier pages.
        after &&
          sql`(${session.createdAt}, ${session.id}) > (${after.createdAt.toISOString()}::timestamptz, ${after.id}::uuid)`,
      ),
    )
    .orderBy(asc(session.createdAt), asc(session.id))
    .limit(PAGE_SESSIONS);
  return { rows, more: rows.length === PAGE_SESSIONS };
}

// Qualified by hand: for a single table Drizzle writes the bare column, which the subquery would take for the message's.
const LAST_AT = sql<number>`coalesce((select floor(extract(epoch from m.created_at) * 1000) from message m
  where m.session_id = "session"."id" order by m.seq desc limit 1), 0)`;

function startOf(resume: ResumePoint | undefined) {
  if (!resume) return sql<number>`"session"."message_seq"`;
  const { since, commitWindowMs } = resume;
  // Most sessions have been idle for long, which the last message alone shows.
  return sql<number>`case when ${LAST_AT} < ${since - commitWindowMs}::bigint then "session"."message_seq" else coalesce((
    select min(m.seq) - 1 from message m where m.session_id = "session"."id"
      and m.created_at >= 'epoch'::timestamptz + ${since}::bigint * interval '1 millisecond'), "session"."message_seq") end`;
}

/** The versions of all of a user's sessions; comparing them shows which were changed, created or deleted. */
export async function versionsOf(orm: Orm, userId: string): Promise<Map<string, number>> {
  const rows = await orm
    .select({ id: session.id, version: session.version })
    .from(session)
    .where(ownedSession(userId));
  return new Map(rows.map(({ id, version }) => [id, version]));
}

/** The versions of those of these sessions that are not deleted. */
export async function sessionVersions(orm: Orm, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await rowsOf<{ id: string; version: number | string }>(
    orm,
    sql`select id, version from session where deleted_at is null
      and id in (select value::uuid from json_array_elements_text(${JSON.stringify(ids)}::json))`,
  );
  return new Map(rows.map(({ id, version }) => [id, Number(version)]));
}
