import type { Orm } from "../db/client.ts";
import { databaseTime } from "../db/database-time.ts";
import type { SessionRow } from "../sessions/store.ts";
import { catchUp, type StreamPosition, snapshotFrame } from "./catch-up.ts";
import { COMMIT_WINDOW_MS, type Cursor, writeCursor } from "./cursor.ts";
import type { Feed } from "./event-stream.ts";
import { eventFrame } from "./sse-frames.ts";
import { findSession, pageOfSessions, versionsOf } from "./store.ts";

interface FollowedSession extends StreamPosition {
  version: number;
}

/**
 * All sessions of a user: the current state of each, then `ready`, then their messages after `cursor` (without one: from
 * now on), then every change. Keeps a few numbers per session in memory, and no messages.
 */
export function userFeed(options: {
  orm: Orm;
  userId: string;
  cursor: Cursor | undefined;
  commitWindowMs?: number;
}): Feed {
  const { orm, userId, cursor, commitWindowMs = COMMIT_WINDOW_MS } = options;
  const followed = new Map<string, FollowedSession>();
  /** Sessions that may have changed; each takes its turn, a page at a time. */
  const pending = new Set<string>();
  /** The client's position: see Cursor. */
  let since = cursor?.since ?? 0;
  const positions = new Map(cursor?.positions);
  /** The page of sessions to load next, until all of them are loaded. */
  let nextPage: { after: SessionRow | undefined } | undefined = { after: undefined };
  let checkAll = false;
  /** The database's time when `pending` last covered everything new. */
  let completeAt: number | undefined;

  const loadPage = async (page: { after: SessionRow | undefined }): Promise<string> => {
    if (page.after === undefined) {
      completeAt = await databaseTime(orm);
      if (!cursor) since = completeAt - commitWindowMs;
    }
    const resume = cursor && { since, commitWindowMs };
    const { rows, more } = await pageOfSessions(orm, { userId, after: page.after, resume });
    let text = "";
    for (const row of rows) {
      const seq = positions.get(row.id) ?? row.start;
      const session = { seq, at: row.lastAt, snapshotHash: undefined, version: row.version };
      followed.set(row.id, session);
      text += snapshotFrame(row, session);
      if (row.messageSeq > seq) pending.add(row.id);
      // Sessions idle since well before `since` need no position of their own.
      if (!cursor && row.lastAt >= since - commitWindowMs) positions.set(row.id, seq);
    }
    nextPage = more ? { after: rows.at(-1) } : undefined;
    if (more) return text;
    for (const id of positions.keys()) if (!followed.has(id)) positions.delete(id);
    // With an id: a client that disconnects before the first message has a position to resume from, too.
    const id = writeCursor({ since, positions });
    return text + eventFrame({ id, event: "ready", data: { sessions: followed.size } });
  };

  /** Finds changes whose notification was lost. */
  const findChanges = async () => {
    checkAll = false;
    completeAt = await databaseTime(orm);
    const versions = await versionsOf(orm, userId);
    for (const [id, version] of versions) if (followed.get(id)?.version !== version) pending.add(id);
    for (const id of followed.keys()) if (!versions.has(id)) pending.add(id);
  };

  const readSession = async (id: string): Promise<string> => {
    pending.delete(id);
    const row = await findSession(orm, userId, id);
    if (!row) {
      positions.delete(id);
      return followed.delete(id) ? eventFrame({ event: "deleted", data: { id } }) : "";
    }
    // A session that was not loaded was created since, so all of its messages are new.
    const session = followed.get(id) ?? { seq: 0, at: 0, snapshotHash: undefined, version: 0 };
    followed.set(id, session);
    session.version = row.version;
    const idOf = (seq: number) => {
      positions.set(id, seq);
      return writeCursor({ since, positions });
    };
    const { text, more } = await catchUp({ orm, row, position: session, idOf });
    if (more) pending.add(id);
    return text;
  };

  /** Everything up to `completeAt` has been read: sessions idle since before then need no position any more. */
  const advanceSince = () => {
    if (completeAt === undefined) return;
    since = Math.max(since, completeAt - commitWindowMs);
    completeAt = undefined;
    for (const id of positions.keys())
      if ((followed.get(id)?.at ?? 0) < since - commitWindowMs) positions.delete(id);
  };

  return {
    wake(sessionId) {
      if (sessionId === undefined) checkAll = true;
      else pending.add(sessionId);
    },
    async read() {
      for (;;) {
        let text = "";
        const [next] = pending;
        if (nextPage) text = await loadPage(nextPage);
        else if (next !== undefined) text = await readSession(next);
        else if (checkAll) await findChanges();
        else {
          advanceSince();
          return { text: "" };
        }
        if (text !== "") return { text };
      }
    },
  };
}
