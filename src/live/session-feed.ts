import type { Orm } from "../db/client.ts";
import { catchUp, type StreamPosition } from "./catch-up.ts";
import type { Feed } from "./event-stream.ts";
import { eventFrame } from "./sse-frames.ts";
import { findSession } from "./store.ts";
import type { VersionReader } from "./versions.ts";

/** One session: its messages after `after`, its current state, then every change. Event ids are the messages' `seq`. */
export function sessionFeed(options: {
  orm: Orm;
  versions: VersionReader;
  userId: string;
  sessionId: string;
  after: number;
}): Feed {
  const { orm, versions, userId, sessionId, after } = options;
  const position: StreamPosition = { seq: after, at: 0, snapshotHash: undefined };
  let changed = true;
  /** It is not known whether it has changed. */
  let mayHaveChanged = false;
  /** Of the row that was read last. */
  let version: number | undefined;
  return {
    wake(id) {
      if (id === undefined) mayHaveChanged = true;
      else changed = true;
    },
    async read() {
      if (mayHaveChanged && !changed) {
        mayHaveChanged = false;
        const now = await versions.versionOf(sessionId);
        changed ||= now !== version;
      }
      while (changed) {
        // Reset before the row is read: a change in between wakes the feed again.
        changed = false;
        const row = await findSession(orm, userId, sessionId);
        if (!row) return { text: eventFrame({ event: "deleted", data: { id: sessionId } }), last: true };
        version = row.version;
        const { text, more } = await catchUp({ orm, row, position, idOf: String });
        changed ||= more;
        if (text !== "") return { text };
      }
      return { text: "" };
    },
  };
}
