import type { Orm } from "../db/client.ts";
import { toMessageDto } from "../messages/dto.ts";
import { toDto } from "../sessions/dto.ts";
import type { SessionRow } from "../sessions/store.ts";
import { eventFrame } from "./sse-frames.ts";
import { type LiveSession, messagesAfter } from "./store.ts";

/** What a stream has sent of one session. */
export interface StreamPosition {
  /** `seq` of the last message sent. */
  seq: number;
  /** When that message was created, in milliseconds since 1970. */
  at: number;
  /** Hash of the last snapshot sent, so that changes which no client can see are not sent. */
  snapshotHash: number | bigint | undefined;
}

/**
 * One step towards a session's current state: the next page of messages and, once there are no more, the session itself
 * if it looks different. So a snapshot follows all messages that existed before it.
 * @param options.row read before this call; what has changed since is left for the next step.
 * @param options.position advanced by this call.
 * @param options.idOf the event id once `position` has reached a message.
 */
export async function catchUp(options: {
  orm: Orm;
  row: LiveSession;
  position: StreamPosition;
  idOf: (seq: number) => string;
}): Promise<{ text: string; more: boolean }> {
  const { orm, row, position, idOf } = options;
  let text = "";
  if (row.messageSeq > position.seq) {
    const messages = await messagesAfter(orm, row.id, position.seq);
    for (const one of messages) {
      position.seq = one.seq;
      position.at = one.createdAt.getTime();
      const data = { ...toMessageDto(one), session_id: row.id };
      text += eventFrame({ id: idOf(one.seq), event: "message", data });
    }
    if (messages.length > 0 && position.seq < row.messageSeq) return { text, more: true };
    // Messages missing at the end were deleted.
    position.seq = Math.max(position.seq, row.messageSeq);
  }
  return { text: text + snapshotFrame(row, position), more: false };
}

/** The session as an event; "" if the last snapshot sent was the same. */
export function snapshotFrame(row: SessionRow, position: StreamPosition): string {
  const data = toDto(row);
  const hash = Bun.hash(JSON.stringify(data));
  if (hash === position.snapshotHash) return "";
  position.snapshotHash = hash;
  return eventFrame({ event: "session", data });
}
