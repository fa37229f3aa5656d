import { nextCursor, type Page } from "./paging.ts";

/** What answers with a JSON text, where no object need be made of it. Its schema in the route is `jsonTextOf`. */
export function jsonText(set: { headers: Record<string, string | number> }, text: string): string {
  set.headers["content-type"] = "application/json;charset=utf-8";
  set.headers["content-length"] = Buffer.byteLength(text);
  return text;
}

/** A list whose rows are JSON already. */
export function listText(
  name: string,
  query: { limit?: number | undefined },
  { rows, next }: Page<string>,
): string {
  const { next_cursor } = nextCursor(query, { rows, next });
  const rest = next_cursor === undefined ? "" : `,"next_cursor":${JSON.stringify(next_cursor)}`;
  return `{"${name}":[${rows.join(",")}]${rest}}`;
}
