import { type SQL, sql } from "drizzle-orm";
import { LRUCache } from "lru-cache";
import { names, weakEtag } from "../api/etag.ts";
import { listText } from "../api/json-text.ts";
import { decodeCursor, MAX_PAGE, pageOf } from "../api/paging.ts";
import { builtOnce } from "../db/built-once.ts";
import type { Orm } from "../db/client.ts";
import { jsonLines, unlessKnown } from "../db/json-rows.ts";
import { session } from "../db/tables.ts";
import { ownedSession } from "../lifecycle/ownership.ts";
import { type UiStatus, uiStatusSql } from "../lifecycle/ui-status.ts";
import { sessionJson } from "./store.ts";

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

/** A list as it was answered. */
interface Answer {
  /** Of the sessions; see `statementOf`. */
  state: string;
  etag: string;
  /** The body; undefined where it is too long to be kept. */
  json: string | undefined;
}

/** Of the answers that are kept for lists that are asked for again: how many, and characters in all and of one. */
const KEPT = { max: 10_000, maxSize: 8 << 20 };
const MAX_KEPT = 1 << 20;
/**
 * Bounds of a page that are in the statement, with the one extra row. Of a limit that is a parameter alone, PostgreSQL takes a tenth of
 * all rows, finds a plan for the value cheaper, and plans again for each request, which takes as long as the rest.
 */
const MOST = [51, MAX_PAGE + 1];
const CURSOR = /^(\d{1,15})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * Lists a user's sessions without their conversations, by one statement. While they are the same as when that list was last
 * asked for, it reads from indexes alone that they are: the answer is kept.
 */
export function openSessionLists(orm: Orm) {
  const kept = new LRUCache<string, Answer>({
    ...KEPT,
    sizeCalculation: ({ json = "" }, key) => json.length + key.length + 100,
  });

  /** @returns the ETag, and the body unless `ifNoneMatch` names that ETag. @throws AppError `invalid_cursor` */
  return async function list(
    userId: string,
    query: SessionQuery,
    ifNoneMatch: string | null,
  ): Promise<{ etag: string; json: string | undefined }> {
    const key = JSON.stringify([userId, query]);
    const last = kept.get(key);
    const mayDo =
      last && (last.json !== undefined || (ifNoneMatch !== null && names(ifNoneMatch, last.etag)));
    const { state, lines } = await read(orm, userId, query, mayDo ? last.state : "");
    if (mayDo && state === last.state) return last;
    const etag = weakEtag("sessions", userId, query, state);
    const page = pageOf(lines?.split("\n") ?? [], query.limit, cursorOf);
    const json = listText("sessions", query, page);
    kept.set(key, { state, etag, json: json.length > MAX_KEPT ? undefined : json });
    return { etag, json };
  };
}

/** @returns what the sessions are like now and, unless that is as before, one line of JSON for each, with one too many. */
async function read(orm: Orm, userId: string, query: SessionQuery, before: string) {
  const { status, repo, q, order = "newest", limit, cursor } = query;
  const [, at, id] = cursor === undefined ? [] : decodeCursor(cursor, CURSOR);
  const given = {
    ...(status?.length && { status: [...new Set(status)].join(",") }),
    ...(repo !== undefined && { repo }),
    ...(q && { title: `%${q.replace(/[\\%_]/g, "\\$&")}%` }),
    ...(at !== undefined && { at: new Date(Number(at)).toISOString(), id }),
    ...(limit !== undefined && { limit: limit + 1 }),
  };
  const most = limit === undefined ? 0 : (MOST.find((one) => limit < one) ?? MAX_PAGE + 1);
  const shape = [order, most, ...Object.keys(given)].join(" ");
  const [row] = await statementOf(orm, shape).execute({ ...given, userId, known: before });
  if (!row) throw new Error("an aggregate has one row");
  return row;
}

/**
 * What a list is like is known from indexes alone, where it has all of the user's sessions: new sessions are the newest, and each
 * change raises its session's version, so that with the same time of the newest and the same count they are the same sessions,
 * and with the same sum of versions unchanged. A page is known by the ids and versions of its own rows: a user may have many more.
 */
const statementOf = builtOnce((orm, shape: string) => {
  const [order, most = "", ...given] = shape.split(" ");
  const direction = sql.raw(order === "newest" ? "desc" : "asc");
  const owned = ownedSession(sql.placeholder("userId"));
  const conditions: Readonly<Record<string, SQL>> = {
    status: sql` and ${uiStatusSql} = wanted.status`,
    repo: sql` and ${session.repo} = ${sql.placeholder("repo")}`,
    title: sql` and ${session.title} ilike ${sql.placeholder("title")}`,
    // Keyset pagination: skipping earlier pages costs nothing.
    at: sql` and (${session.createdAt}, ${session.id}) ${sql.raw(order === "newest" ? "<" : ">")} (${sql.placeholder("at")}::timestamptz, ${sql.placeholder("id")}::uuid)`,
  };
  const where = sql.join(given.flatMap((name) => conditions[name] ?? []));
  const limited = given.includes("limit");
  const inOrder = sql`order by ${session.createdAt} ${direction}, ${session.id} ${direction}`;
  const page = limited ? sql`${inOrder} limit ${sql.placeholder("limit")}` : inOrder;
  const found = sql`select ${session}.* from ${session} where ${owned}${where} ${inOrder}`;
  // Of each status as many as are wanted, in the order of an index: sessions of others are not looked through.
  const rows = given.includes("status")
    ? sql`from unnest(string_to_array(${sql.placeholder("status")}, ',')) wanted (status)
        cross join lateral (${found}${limited ? sql` limit ${sql.placeholder("limit")}` : sql``}) ${session} ${page}`
    : sql`from (${found}${limited ? sql.raw(` limit ${most}`) : sql``}) ${session} ${page}`;
  const state = limited
    ? sql`select concat('page', md5(string_agg(concat(id, version), ''))) as state from (select ${session.id}, ${session.version} ${rows}) page`
    : sql`select concat_ws('.', count(*), sum(${session.version}), extract(epoch from max(${session.createdAt}))) as state from ${session} where ${owned}`;
  return orm
    .select({
      state: sql<string>`state`,
      lines: unlessKnown(sql`state`, jsonLines(sessionJson, rows)),
    })
    .from(sql`(${state}) now`)
    .prepare("sessions_list");
});

function cursorOf(line: string): string {
  const { createdAt, id } = JSON.parse(line) as { createdAt: string; id: string };
  return `${Date.parse(createdAt)}.${id}`;
}
