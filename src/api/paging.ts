import { AppError } from "../shared/errors.ts";

/** Most rows of one page. */
export const MAX_PAGE = 500;

/** One page of a list, and the cursor of the next; null on the last page. */
export interface Page<Row> {
  rows: Row[];
  next: string | null;
}

/** What is asked of a list: a page of it or, without a limit, all. */
export interface PageQuery {
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** Cursors are opaque to clients: their content may change. */
const encodeCursor = (text: string): string => Buffer.from(text).toString("base64url");

/** @throws AppError `invalid_cursor` unless the decoded cursor matches `form`. */
export function decodeCursor(cursor: string, form: RegExp): RegExpExecArray {
  const match = form.exec(Buffer.from(cursor, "base64url").toString());
  if (!match) throw new AppError("invalid_cursor", "cursor: must be the next_cursor of an earlier reply.");
  return match;
}

/** The sequence number that a page of a numbered list starts after; 0: at the beginning. */
export const decodeSeq = (cursor: string | undefined): number =>
  cursor === undefined ? 0 : Number(decodeCursor(cursor, /^\d{1,15}$/)[0]);

/** The id of the row that a page of a list in the order of ids starts after. */
export const decodeId = (cursor: string): string =>
  decodeCursor(cursor, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)[0];

/**
 * Makes a page of rows that were queried with `limit + 1`: the extra row says that there is another page.
 * @param limit undefined: the whole list.
 */
export function pageOf<Row>(
  rows: Row[],
  limit: number | undefined,
  cursorOf: (row: Row) => string,
): Page<Row> {
  if (limit === undefined || rows.length <= limit) return { rows, next: null };
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  return { rows: kept, next: last === undefined ? null : encodeCursor(cursorOf(last)) };
}

/** The `next_cursor` of a list's reply. Only with a limit: the published clients know no such field. */
export const nextCursor = (
  query: { limit?: number | undefined },
  { next }: Page<unknown>,
): { next_cursor?: string | null } => (query.limit === undefined ? {} : { next_cursor: next });
