import { sql } from "drizzle-orm";
import { LRUCache } from "lru-cache";
import { versionIn, versionTag } from "../api/etag.ts";
import { builtOnce } from "../db/built-once.ts";
import type { Orm } from "../db/client.ts";
import { jsonRow, unlessKnown } from "../db/json-rows.ts";
import { session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";
import { sessionJson } from "./store.ts";

/** Of the sessions that are kept for when they are read again: how many, and characters in all and of one. */
const KEPT = { max: 10_000, maxSize: 8 << 20, maxEntrySize: 1 << 20 };

const statement = builtOnce((orm) =>
  orm
    .select({
      version: session.version,
      // Conversations may be long.
      json: unlessKnown(session.version, jsonRow({ ...sessionJson, messages: session.messages })),
    })
    .from(session)
    .where(ownedSessionById(sql.placeholder("userId"), sql.placeholder("id")))
    .prepare("session_read"),
);

/**
 * Reads a session with its conversation, by one statement on its primary key. While it is as it was when it was last read, the
 * statement says no more than that, and whose it is: its JSON is kept.
 */
export function openSessionReads(orm: Orm) {
  const kept = new LRUCache<string, { version: number; json: string }>({
    ...KEPT,
    sizeCalculation: ({ json }) => json.length + 100,
  });

  /**
   * @returns its ETag, and its JSON unless it is the first of `ifNoneMatch`.
   * @throws AppError `session_not_found`, also where it is another user's.
   */
  return async function read(wanted: {
    userId: string;
    id: string;
    ifNoneMatch: string | null;
  }): Promise<{ etag: string; json: string | null }> {
    const { userId, ifNoneMatch } = wanted;
    const id = wanted.id.toLowerCase();
    const last = kept.get(id);
    const known = last?.version ?? versionIn(ifNoneMatch, id);
    const [row] = await statement(orm).execute({ id, userId, known });
    if (!row) throw notFound("session", wanted.id);
    const { version } = row;
    if (row.json !== null) kept.set(id, { version, json: row.json });
    return {
      etag: versionTag(id, version),
      json: row.json ?? (last?.version === version ? last.json : null),
    };
  };
}
