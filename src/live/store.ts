import { and, asc, eq, gt, or, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { message, session } from "../db/tables.ts";
import { ownedSession } from "../lifecycle/ownership.ts";
import type { MessageRow } from "../messages/store.ts";
import { type SessionRow, sessionColumns } from "../sessions/store.ts";

/** A page of messages: so many, or so many bytes and the one that goes over. */
const PAGE_MESSAGES = 500;
const PAGE_BYTES = 256 * 1024;
const PAGE_SESSIONS = 200;

export interface LiveSession extends SessionRow {
  messageSeq: number;
  version: number;
}

/** A session as it stands when somebody begins to follow all sessions. */
export interface FoundSession extends LiveSession {
  /** The last message that the follower has had, or does not want. */
  start: number;
  /** When its last message's transaction began, in milliseconds since 1970; 0 without one. */
  lastAt: number;
}

const live = { ...sessionColumns, messageSeq: session.messageSeq, version: session.version };

/** Undefined: deleted, or never this user's. */
export async function findSession(orm: Orm, userId: string, id: string): Promise<LiveSession | undefined> {
  const [row] = await orm
    .select(live)
    .from(session)
    .where(and(eq(session.id, id), ownedSession(userId)));
  return row;
}

/** The messages after `seq`, in order, no more than a page of them. By the index on (session_id, seq). */
export function messagesAfter(orm: Orm, sessionId: string, seq: number): Promise<MessageRow[]> {
  // The size as stored costs nothing to know, but what compresses well is far larger when read. So the text's own size
  // is looked at too, of no more than a page by the first measure.
  const last = sql`(select max(b.seq) from (
    select a.seq, sum(octet_length(a.data::text)) over (order by a.seq) - octet_length(a.data::text) as before from (
      select m.seq, m.data, sum(m.stored) over (order by m.seq) - m.stored as before from (
        select seq, data, pg_column_size(data) as stored from message
        where session_id = ${sessionId}::uuid and seq > ${seq}::bigint order by seq limit ${PAGE_MESSAGES}::int) m) a
    where a.before < ${PAGE_BYTES}::int) b
  where b.before < ${PAGE_BYTES}::int)`;
  return orm
    .select()
    .from(message)
    .where(and(eq(message.sessionId, sessionId), gt(message.seq, seq), sql`${message.seq} <= ${last}`))
    .orderBy(asc(message.seq));
}

/** The database's clock, in milliseconds since 1970: that of created_at. */
export async function databaseTime(orm: Orm): Promise<number> {
  const [row] = await rowsOf<{ now: string }>(
    orm,
    sql`select floor(extract(epoch from now()) * 1000) as now`,
  );
  return Number(row?.now);
}

/** Where each session's messages begin for a follower who comes back: see cursor.ts. */
export interface Since {
  since: number;
  /** Longest time between the beginning of a message's transaction and its commit. */
  slackMs: number;
}

/**
 * A user's sessions in the order of their making, a page of them.
 * @param options.resume undefined: `start` is the last message there is.
 */
export async function pageOfSessions(
  orm: Orm,
  options: {
    userId: string;
    after: Pick<SessionRow, "createdAt" | "id"> | undefined;
    resume: Since | undefined;
  },
): Promise<{ rows: FoundSession[]; more: boolean }> {
  const { userId, after, resume } = options;
  const rows = await orm
    .select({ ...live, lastAt: LAST_AT.mapWith(Number), start: startOf(resume).mapWith(Number) })
    .from(session)
    .where(
      and(
        ownedSession(userId),
        after &&
          or(
            gt(session.createdAt, after.createdAt),
            and(eq(session.createdAt, after.createdAt), gt(session.id, after.id)),
          ),
      ),
    )
    .orderBy(asc(session.createdAt), asc(session.id))
    .limit(PAGE_SESSIONS);
  return { rows, more: rows.length === PAGE_SESSIONS };
}

// Named in full: of a single table Drizzle writes the column alone, which inside would be the message's.
const LAST_AT = sql<number>`coalesce((select floor(extract(epoch from m.created_at) * 1000) from message m
  where m.session_id = "session"."id" order by m.seq desc limit 1), 0)`;

function startOf(resume: Since | undefined) {
  if (!resume) return sql<number>`"session"."message_seq"`;
  const { since, slackMs } = resume;
  // Most sessions have been quiet for long, which their last message alone tells.
  return sql<number>`case when ${LAST_AT} < ${since - slackMs}::bigint then "session"."message_seq" else coalesce((
    select min(m.seq) - 1 from message m where m.session_id = "session"."id"
      and m.created_at >= 'epoch'::timestamptz + ${since}::bigint * interval '1 millisecond'), "session"."message_seq") end`;
}

/** The versions of all of a user's sessions: whoever keeps them sees which have changed, come and gone. */
export async function versionsOf(orm: Orm, userId: string): Promise<Map<string, number>> {
  const rows = await orm
    .select({ id: session.id, version: session.version })
    .from(session)
    .where(ownedSession(userId));
  return new Map(rows.map(({ id, version }) => [id, version]));
}
