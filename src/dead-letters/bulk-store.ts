import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { retryDeadLetter } from "./retry-store.ts";
import { closeDeadLetter, type Viewer } from "./store.ts";

export const BULK_ACTIONS = ["retry", "resolve", "abandon"] as const;
type BulkAction = (typeof BULK_ACTIONS)[number];

export interface BulkResult {
  id: string;
  success: boolean;
  message: string;
  /** Why not. */
  code?: AppError["code"];
}

/**
 * Does the same to several dead letters, each in a transaction of its own: one that cannot be acted on does not keep the
 * others from it. If something else fails, such as the database, the first ones are done, and a repetition does the rest.
 */
export async function actOnDeadLetters(
  orm: Orm,
  wanted: { viewer: Viewer; action: BulkAction; ids: readonly string[]; notes: string | null },
): Promise<BulkResult[]> {
  const { viewer, action, ids, notes } = wanted;
  const results: BulkResult[] = [];
  for (const id of ids) {
    try {
      results.push({ id, success: true, message: await ACTS[action](orm, { viewer, id, notes }) });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      results.push({ id, success: false, message: error.message, code: error.code });
    }
  }
  return results;
}

type Act = (orm: Orm, entry: { viewer: Viewer; id: string; notes: string | null }) => Promise<string>;

/** What each action does, and what it then says. */
export const ACTS: Readonly<Record<BulkAction, Act>> = {
  async retry(orm, entry) {
    await retryDeadLetter(orm, entry);
    return "Queued again; the dead letter is resolved";
  },
  async resolve(orm, entry) {
    await closeDeadLetter(orm, { ...entry, status: "Resolved" });
    return "Dead letter resolved";
  },
  async abandon(orm, entry) {
    await closeDeadLetter(orm, { ...entry, status: "Abandoned" });
    return "Dead letter abandoned";
  },
};
