import type { Database } from "../db/client.ts";

/** Where a notification cannot be lost, milliseconds between two looks for what none was sent for. */
export const LONG_REST_MS = 60_000;
/** Between two looks whether anything is unfinished: shorter than a lease and than any other deadline of a prompt. */
export const SHORT_REST_MS = 5_000;

/**
 * For how long a task with nothing to do may rest. Embedded, the database wakes its only process for whatever is new, and each
 * statement costs this process a millisecond; on PostgreSQL a notification may be lost, for instance by a pooler, so that tasks
 * go on looking at their interval.
 * @param dueMs how many milliseconds until something is due; null: nothing that is known.
 */
export function restWhile(
  database: Pick<Database, "kind">,
  maxMs: number,
  dueMs: () => Promise<number | null>,
): (() => Promise<number>) | undefined {
  if (database.kind !== "embedded") return undefined;
  return async () => Math.min(maxMs, (await dueMs()) ?? maxMs);
}
