import type { Orm } from "../db/client.ts";
import { catchUp, type Place } from "./catch-up.ts";
import type { Feed } from "./event-stream.ts";
import { frame } from "./frames.ts";
import { findSession } from "./store.ts";

/** One session: its messages after `after`, what it is now, then whatever comes. Ids are the messages' numbers. */
export function sessionFeed(options: { orm: Orm; userId: string; sessionId: string; after: number }): Feed {
  const { orm, userId, sessionId, after } = options;
  const place: Place = { seq: after, at: 0, shown: undefined };
  let due = true;
  return {
    wake() {
      due = true;
    },
    async read() {
      while (due) {
        // First this, then the row: a change in between is another wake-up.
        due = false;
        const row = await findSession(orm, userId, sessionId);
        if (!row) return { text: frame({ event: "deleted", data: { id: sessionId } }), last: true };
        const { text, more } = await catchUp({ orm, row, place, idOf: String });
        due ||= more;
        if (text !== "") return { text };
      }
      return { text: "" };
    },
  };
}
