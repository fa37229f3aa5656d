import { and, asc, count, desc, eq, inArray, type SQL, sql } from "drizzle-orm";
import { weakEtag } from "../api/etag.ts";
import { decodeCursor, type Page, pageOf } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { ownedSession } from "../lifecycle/ownership.ts";
import { type UiStatus, uiStatusSql } from "../lifecycle/ui-status.ts";
import { type SessionRow, sessionColumns } from "./store.ts";

/** The filters of a list. Without any: all of the user's sessions, newest first. */
export interface SessionQuery {
  status?: UiStatus[];
  /** Exactly as it was sent when the session was created. */
  repo?: string;
  /** Part of the title, in any case. */
  q?: string;
  order?: "newest" | "oldest";
  limit?: number;
  cursor?: string;
}

const CURSOR = /^(\d{1,15})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
const cursorOf = (row: SessionRow) => `${row.createdAt.getTime()}.${row.id}`;

/** A user's sessions without their conversations. @throws AppError `invalid_cursor` */
export async function listSessions(orm: Orm, userId: string, query: SessionQuery): Promise<Page<SessionRow>> {
  const { status, repo, q, order = "newest", limit, cursor } = query;
  const direction = order === "newest" ? desc : asc;
  const rows = orm
    .select(sessionColumns)
    .from(session)
    .where(
      and(
        ownedSession(userId),
        repo === undefined ? undefined : eq(session.repo, repo),
        status?.length ? inArray(uiStatusSql, status) : undefined,
        q ? sql`${session.title} ilike ${`%${q.replace(/[\\%_]/g, "\\$&")}%`}` : undefined,
        cursor === undefined ? undefined : beyond(cursor, order),
      ),
    )
    .orderBy(direction(session.createdAt), direction(session.id));
  return pageOf(await (limit === undefined ? rows : rows.limit(limit + 1)), limit, cursorOf);
}

/** Keyset pagination: skipping earlier pages costs nothing. */
function beyond(cursor: string, order: "newest" | "oldest"): SQL {
  const [, at, id] = decodeCursor(cursor, CURSOR);
  const last = sql`(${new Date(Number(at)).toISOString()}::timestamptz, ${id}::uuid)`;
  const place = sql`(${session.createdAt}, ${session.id})`;
  return order === "newest" ? sql`${place} < ${last}` : sql`${place} > ${last}`;
}

/**
 * The ETag of a list, from indexes alone. New sessions are the newest, and each change raises its session's version: with
 * the same newest session and the same count, the sessions are the same; with the same sum of versions, unchanged.
 */
export async function sessionsTag(orm: Orm, userId: string, query: SessionQuery): Promise<string> {
  const order = sql`${session.userId} desc, ${session.createdAt} desc, ${session.id} desc`;
  const newest = sql<
    string | null
  >`(select id from ${session} where ${ownedSession(userId)} order by ${order} limit 1)`;
  const [all] = await orm
    .select({ count: count(), versions: sql<string | null>`sum(${session.version})`, newest })
    .from(session)
    .where(ownedSession(userId));
  return weakEtag("sessions", userId, query, all?.count, all?.versions, all?.newest);
}
