import { AppError } from "../shared/errors.ts";

/**
 * The position of a stream of all sessions. Each session numbers its own messages, and no column orders the messages of
 * several sessions by commit, so a position is one number per session. To keep it short, only sessions with messages of
 * the last minutes are listed (`positions`); of every other session the client has exactly the messages created before
 * `since`. That holds because `since` lies COMMIT_WINDOW_MS before the moment at which the client had everything: a
 * message's created_at is the start of its transaction, which is a single statement.
 */
export interface Cursor {
  /** Milliseconds since 1970, on the database's clock. */
  since: number;
  /** `seq` of the last message received, by session. */
  positions: ReadonlyMap<string, number>;
}

/** Longest time, in milliseconds, from the start of a transaction that stores messages to its commit. */
export const COMMIT_WINDOW_MS = 60_000;

const UUID_BYTES = 16;
const VERSION = "1";

/** Uses only characters that are safe in a header and a query; about 25 of them per session. */
export function writeCursor({ since, positions }: Cursor): string {
  const bytes: number[] = [];
  for (const [id, seq] of positions) {
    for (const byte of Buffer.from(id.replaceAll("-", ""), "hex")) bytes.push(byte);
    // LEB128: seven bits per byte, least significant first, the high bit set on all but the last.
    let rest = seq;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  return `${VERSION}.${since.toString(36)}.${Buffer.from(bytes).toString("base64url")}`;
}

/** @throws AppError `invalid_cursor` unless `text` is an id of this stream. */
export function readCursor(text: string): Cursor {
  const [, time = "", encoded = ""] = /^1\.([0-9a-z]{1,10})\.([\w-]*)$/.exec(text) ?? [];
  const since = Number.parseInt(time, 36);
  const bytes = Buffer.from(encoded, "base64url");
  const positions = new Map<string, number>();
  let at = 0;
  while (at < bytes.length) {
    const id = bytes.subarray(at, at + UUID_BYTES).toString("hex");
    at += UUID_BYTES;
    let seq = 0;
    let scale = 1;
    for (; (bytes[at] ?? 0) > 127; at += 1, scale *= 128) seq += ((bytes[at] ?? 0) - 128) * scale;
    seq += (bytes[at] ?? Number.NaN) * scale;
    at += 1;
    if (!Number.isSafeInteger(seq)) throw invalidCursor();
    positions.set(id.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"), seq);
  }
  // The database supports no later time than the year 9999.
  if (!(since >= 0 && since < 253_402_300_800_000)) throw invalidCursor();
  return { since, positions };
}

const invalidCursor = () =>
  new AppError(
    "invalid_cursor",
    "Last-Event-ID or `after` is not an id of this stream. Send the last `id:` that GET /events gave you, or none to start now.",
  );
