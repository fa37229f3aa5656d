import type { Orm } from "../db/client.ts";
import type { SessionRow } from "../sessions/store.ts";
import { catchUp, type Place, snapshot } from "./catch-up.ts";
import { type Cursor, SLACK_MS, writeCursor } from "./cursor.ts";
import type { Feed } from "./event-stream.ts";
import { frame } from "./frames.ts";
import { databaseTime, findSession, pageOfSessions, versionsOf } from "./store.ts";

interface Known extends Place {
  version: number;
}

/**
 * All sessions of a user: each as it is now, then `ready`, then their messages after `cursor` (without one: from now
 * on), then whatever comes. It keeps a few words for each session, and no messages.
 */
export function userFeed(options: {
  orm: Orm;
  userId: string;
  cursor: Cursor | undefined;
  slackMs?: number;
}): Feed {
  const { orm, userId, cursor, slackMs = SLACK_MS } = options;
  const known = new Map<string, Known>();
  /** Sessions that may have something new; each has its turn, a page at a time. */
  const waiting = new Set<string>();
  /** Where the follower stands: see Cursor. */
  let since = cursor?.since ?? 0;
  const places = new Map(cursor?.places);
  /** What all sessions are to be looked at for: to be found first, later for changes that nobody told of. */
  let finding: { after: SessionRow | undefined } | undefined = { after: undefined };
  let lookDue = false;
  /** The database's time at which what is waiting now was all that was new. */
  let completeAt: number | undefined;

  const find = async (page: { after: SessionRow | undefined }): Promise<string> => {
    if (page.after === undefined) {
      completeAt = await databaseTime(orm);
      if (!cursor) since = completeAt - slackMs;
    }
    const resume = cursor && { since, slackMs };
    const { rows, more } = await pageOfSessions(orm, { userId, after: page.after, resume });
    let text = "";
    for (const row of rows) {
      const place = { seq: places.get(row.id) ?? row.start, at: row.lastAt, shown: undefined };
      known.set(row.id, { ...place, version: row.version });
      text += snapshot(row, known.get(row.id) as Known);
      if (row.messageSeq > place.seq) waiting.add(row.id);
      // Quiet since before `since` without a doubt: needs no place of its own.
      if (!cursor && row.lastAt >= since - slackMs) places.set(row.id, place.seq);
    }
    finding = more ? { after: rows.at(-1) } : undefined;
    if (more) return text;
    for (const id of places.keys()) if (!known.has(id)) places.delete(id);
    // With an id: whoever leaves before the first message still has a place to come back to.
    return (
      text + frame({ id: writeCursor({ since, places }), event: "ready", data: { sessions: known.size } })
    );
  };

  /** Looks for changes that no notification told of. */
  const look = async () => {
    lookDue = false;
    completeAt = await databaseTime(orm);
    const versions = await versionsOf(orm, userId);
    for (const [id, version] of versions) if (known.get(id)?.version !== version) waiting.add(id);
    for (const id of known.keys()) if (!versions.has(id)) waiting.add(id);
  };

  const attend = async (id: string): Promise<string> => {
    waiting.delete(id);
    const row = await findSession(orm, userId, id);
    if (!row) {
      places.delete(id);
      return known.delete(id) ? frame({ event: "deleted", data: { id } }) : "";
    }
    // Not among those found: made since, so that its messages are all new.
    const place = known.get(id) ?? { seq: 0, at: 0, shown: undefined, version: 0 };
    known.set(id, place);
    place.version = row.version;
    const idOf = (seq: number) => {
      places.set(id, seq);
      return writeCursor({ since, places });
    };
    const { text, more } = await catchUp({ orm, row, place, idOf });
    if (more) waiting.add(id);
    return text;
  };

  /** Everything up to `completeAt` has been read: sessions quiet for long need no place any more. */
  const settle = () => {
    if (completeAt === undefined) return;
    since = Math.max(since, completeAt - slackMs);
    completeAt = undefined;
    for (const id of places.keys()) if ((known.get(id)?.at ?? 0) < since - slackMs) places.delete(id);
  };

  return {
    wake(sessionId) {
      if (sessionId === undefined) lookDue = true;
      else waiting.add(sessionId);
    },
    async read() {
      for (;;) {
        let text = "";
        const [next] = waiting;
        if (finding) text = await find(finding);
        else if (next !== undefined) text = await attend(next);
        else if (lookDue) await look();
        else {
          settle();
          return { text: "" };
        }
        if (text !== "") return { text };
      }
    },
  };
}
