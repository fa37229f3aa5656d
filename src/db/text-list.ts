import { type SQL, sql } from "drizzle-orm";

/** A subquery with a row for each text: one parameter, however many there are, so that the statement stays the same. */
export const eachText = (texts: readonly string[]): SQL =>
  sql`(select jsonb_array_elements_text(${JSON.stringify(texts)}::text::jsonb))`;
