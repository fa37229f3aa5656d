import { AppError } from "../shared/errors.ts";

/**
 * Where a follower of all sessions stands. Each session counts its own messages, and no column orders the messages of
 * several sessions by commit; so the place is one number a session. Not for all of them, though, only for those with
 * messages of the last minutes (`places`); of every other session the follower has had exactly the messages that were
 * created before `since`. That holds because `since` lies SLACK_MS before the moment at which the follower had all:
 * a message's created_at is the beginning of its transaction, which is a single statement.
 */
export interface Cursor {
  /** Milliseconds since 1970, on the database's clock. */
  since: number;
  /** The last message had, by session. */
  places: ReadonlyMap<string, number>;
}

/** The longest time that storing a message may take, from the beginning of its transaction to its commit. */
export const SLACK_MS = 60_000;

const UUID_BYTES = 16;
const VERSION = "1";

/** Characters that a header and a query can carry as they are; about 25 a session. */
export function writeCursor({ since, places }: Cursor): string {
  const bytes: number[] = [];
  for (const [id, seq] of places) {
    for (const byte of Buffer.from(id.replaceAll("-", ""), "hex")) bytes.push(byte);
    let rest = seq;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  return `${VERSION}.${since.toString(36)}.${Buffer.from(bytes).toString("base64url")}`;
}

/** @throws AppError `invalid` for what was never an id of this stream. */
export function readCursor(text: string): Cursor {
  const [, time = "", rest = ""] = /^1\.([0-9a-z]{1,10})\.([\w-]*)$/.exec(text) ?? [];
  const since = Number.parseInt(time, 36);
  const bytes = Buffer.from(rest, "base64url");
  const places = new Map<string, number>();
  let at = 0;
  while (at < bytes.length) {
    const id = bytes.subarray(at, at + UUID_BYTES).toString("hex");
    at += UUID_BYTES;
    let seq = 0;
    let scale = 1;
    for (; (bytes[at] ?? 0) > 127; at += 1, scale *= 128) seq += ((bytes[at] ?? 0) - 128) * scale;
    seq += (bytes[at] ?? Number.NaN) * scale;
    at += 1;
    if (!Number.isSafeInteger(seq)) throw notACursor();
    places.set(id.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"), seq);
  }
  // A time that the database cannot have: year 10000 and later.
  if (!(since >= 0 && since < 253_402_300_800_000)) throw notACursor();
  return { since, places };
}

const notACursor = () =>
  new AppError(
    "invalid_cursor",
    "Last-Event-ID or `after` is not an id of this stream. Send the last `id:` that GET /events gave you, or none to begin now.",
  );
