import { AppError } from "../shared/errors.ts";

/** Most rows of one page. */
export const MAX_PAGE = 500;

/** One page of a list, and where the next begins; null: this was the last. */
export interface Page<Row> {
  rows: Row[];
  next: string | null;
}

/** Cursors are opaque to clients: what is in them may change. */
export const encodeCursor = (text: string): string => Buffer.from(text).toString("base64url");

/** @throws AppError `invalid` for what no reply has ever given out. */
export function decodeCursor(cursor: string, form: RegExp): RegExpExecArray {
  const match = form.exec(Buffer.from(cursor, "base64url").toString());
  if (!match) throw new AppError("invalid_cursor", "cursor: must be the next_cursor of an earlier reply.");
  return match;
}

/** The sequence number after which a page of a numbered list begins; 0: at the beginning. */
export const decodeSeq = (cursor: string | undefined): number =>
  cursor === undefined ? 0 : Number(decodeCursor(cursor, /^\d{1,15}$/)[0]);

/**
 * Makes a page of rows that were read with `limit + 1`: the one too many says that there is more.
 * @param limit undefined: all were asked for.
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
