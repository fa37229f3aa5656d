import type { Orm } from "../db/client.ts";
import { toMessageDto } from "../messages/dto.ts";
import { toDto } from "../sessions/dto.ts";
import type { SessionRow } from "../sessions/store.ts";
import { frame } from "./frames.ts";
import { type LiveSession, messagesAfter } from "./store.ts";

/** What a reader has had of one session. */
export interface Place {
  /** The last message. */
  seq: number;
  /** When that was created, in milliseconds since 1970. */
  at: number;
  /** Of the last snapshot, so that a change which no client can see is not told. */
  shown: number | bigint | undefined;
}

/**
 * One step of a reader towards a session's present: the next page of messages, and, when there are no more, the
 * session itself where it looks different. So a snapshot follows all messages that were there before it.
 * @param row read before this is called; what has come since is left for the next step.
 * @param place moved on. @param idOf the event's id, once `place` has been moved to its message.
 */
export async function catchUp(options: {
  orm: Orm;
  row: LiveSession;
  place: Place;
  idOf: (seq: number) => string;
}): Promise<{ text: string; more: boolean }> {
  const { orm, row, place, idOf } = options;
  let text = "";
  if (row.messageSeq > place.seq) {
    const messages = await messagesAfter(orm, row.id, place.seq);
    for (const one of messages) {
      place.seq = one.seq;
      place.at = one.createdAt.getTime();
      const data = { ...toMessageDto(one), session_id: row.id };
      text += frame({ id: idOf(one.seq), event: "message", data });
    }
    if (messages.length > 0 && place.seq < row.messageSeq) return { text, more: true };
    // What is missing at the end has been deleted.
    place.seq = Math.max(place.seq, row.messageSeq);
  }
  return { text: text + snapshot(row, place), more: false };
}

/** The session, unless that is what was shown last. */
export function snapshot(row: SessionRow, place: Place): string {
  const data = toDto(row);
  const shown = Bun.hash(JSON.stringify(data));
  if (shown === place.shown) return "";
  place.shown = shown;
  return frame({ event: "session", data });
}
