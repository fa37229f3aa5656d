import { and, asc, eq, gt, type SQL, sql } from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";
import type { SelectResultFields } from "drizzle-orm/query-builders/select.types";
import { versionIn, versionTag } from "../api/etag.ts";
import { decodeId, decodeSeq, type Page, type PageQuery, pageOf } from "../api/paging.ts";
import { builtOnce } from "../db/built-once.ts";
import type { Orm } from "../db/client.ts";
import { type JsonFields, jsonLines, unlessKnown } from "../db/json-rows.ts";
import { prompt, session } from "../db/tables.ts";
import { notFound } from "../shared/errors.ts";
import { ownedPrompt, ownedSessionById } from "./ownership.ts";

/** Whose rows are listed. Without any the owner is found all the same, so that one that does not exist is told from an empty one. */
const OWNERS = {
  session: { id: session.id, from: sql`${session}`, is: ownedSessionById },
  prompt: {
    id: prompt.id,
    from: sql`${prompt} join ${session} on ${session.id} = ${prompt.sessionId}`,
    is: ownedPrompt,
  },
};

interface OfOwner {
  owner: keyof typeof OWNERS;
  /** The column of the listed table that names the owner. */
  of: AnyPgColumn;
}

/** A page of what this session or prompt of this user has, or all of it. */
export interface OwnedQuery extends PageQuery {
  userId: string;
  ownerId: string;
}

/**
 * An owner's rows in the order of their ids, by one statement.
 * @param list what is read of each row, `id` first; `where`: which rows, if not all.
 * @throws AppError `session_not_found`, `prompt_not_found`, also where it is another user's; `invalid_cursor`
 */
export async function listOwned<Fields extends { id: AnyPgColumn } & Record<string, AnyPgColumn | SQL>>(
  orm: Orm,
  { userId, ownerId, limit, cursor }: OwnedQuery,
  { owner, of, fields, where }: OfOwner & { fields: Fields; where?: SQL | undefined },
): Promise<Page<SelectResultFields<Fields>>> {
  const { id, from, is } = OWNERS[owner];
  const after = cursor === undefined ? undefined : gt(fields.id, decodeId(cursor));
  const rows = orm
    .select({ one: fields })
    .from(from)
    .leftJoin(of.table, and(eq(of, id), after, where))
    .where(is(userId, ownerId))
    .orderBy(asc(fields.id));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw notFound(owner, ownerId);
  return pageOf(
    found.flatMap(({ one }) => one ?? []),
    limit,
    ({ id }) => id,
  );
}

/**
 * Makes the reader of an owner's rows in the order of their `seq`, each as JSON, by one statement that is built once.
 * @param list `name` of the statement; `version` of the owner, which every change of its rows raises.
 */
export function numberedList({
  name,
  owner,
  of,
  seq,
  version,
  fields,
}: OfOwner & { name: string; seq: AnyPgColumn; version: AnyPgColumn; fields: JsonFields }) {
  const { id, from, is } = OWNERS[owner];
  const listing = builtOnce((orm, shape) => {
    const limit = shape === "limited" ? sql` limit ${sql.placeholder("rows")}` : sql``;
    const rows = sql`from ${of.table} where ${of} = ${id} and ${seq} > ${sql.placeholder("after")} order by ${seq}${limit}`;
    return orm
      .select({
        version: sql`${version}`.mapWith(Number),
        lines: unlessKnown(version, jsonLines(fields, rows)),
      })
      .from(from)
      .where(is(sql.placeholder("userId"), sql.placeholder("ownerId")))
      .prepare(name);
  });

  /**
   * @returns the ETag of the list, and its page unless it is the first of `ifNoneMatch`.
   * @throws AppError `session_not_found`, `prompt_not_found`, also where it is another user's; `invalid_cursor`
   */
  return async function list(
    orm: Orm,
    { userId, ownerId, limit, cursor }: OwnedQuery,
    ifNoneMatch: string | null,
  ): Promise<{ etag: string; page: Page<string> | undefined }> {
    // No list has the version -1: one without rows has 0.
    const known = versionIn(ifNoneMatch, ownerId) || -1;
    const rows = limit === undefined ? {} : { rows: limit + 1 };
    const [row] = await listing(orm, limit === undefined ? "" : "limited").execute({
      ...{ userId, ownerId, known, after: decodeSeq(cursor) },
      ...rows,
    });
    if (!row) throw notFound(owner, ownerId);
    const page = pageOf(row.lines?.split("\n") ?? [], limit, (line) =>
      String((JSON.parse(line) as { seq: number }).seq),
    );
    return { etag: versionTag(ownerId, row.version), page: row.version === known ? undefined : page };
  };
}
