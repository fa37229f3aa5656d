import { type SQL, sql } from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";

/** What a client sees of a row, by the names that it sees, in their order. */
export type JsonFields = Readonly<Record<string, SQL | AnyPgColumn>>;

/**
 * Rows as text that PostgreSQL makes of them, one JSON object in each line: null without any. Neither driver then parses
 * them, nor are objects made, checked and written out again, which costs several times what PostgreSQL takes for it.
 * @param from the rest of the statement, from its `from` on.
 */
export const jsonLines = (fields: JsonFields, from: SQL): SQL<string | null> =>
  sql<
    string | null
  >`(select string_agg(row_to_json(line)::text, E'\\n') from (select ${jsonColumns(fields)} ${from}) line)`;

/** One row as such a text, for a statement with these columns' tables. */
export const jsonRow = (fields: JsonFields): SQL<string> =>
  sql<string>`row_to_json((select line from (select ${jsonColumns(fields)}) line))::text`;

/** Such a text, unless the client knows it: the statement's `known` is the version, or the tag, that the client has of it. */
export const unlessKnown = (version: SQL | AnyPgColumn, json: SQL<string | null>): SQL<string | null> =>
  sql<string | null>`case when ${version} <> ${sql.placeholder("known")} then ${json} end`;

const jsonColumns = (fields: JsonFields): SQL =>
  sql.join(
    Object.entries(fields).map(([name, value]) => sql`${value} as ${sql.identifier(name)}`),
    sql`, `,
  );

/** A timestamp in milliseconds as JavaScript writes it: `2026-11-29T08:00:00.000Z`. */
export const isoTime = (time: SQL | AnyPgColumn): SQL<string | null> =>
  sql`to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
