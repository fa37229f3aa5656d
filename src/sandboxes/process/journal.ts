import { open } from "node:fs/promises";

/** A longer line is cut here (16 MiB) and marked; agents print whole files in one line. */
export const LINE_LIMIT = 16 * 1024 * 1024;
export const CUT_MARK = "…[line cut]";
const CHUNK_BYTES = 256 * 1024;
/** How long a reader that has read everything waits before it looks again, milliseconds. */
const POLL_MS = 15;
const NEWLINE = 10;

export interface JournalLine {
  /** Decoded, without its newline. */
  line: string;
  /** Bytes of the file up to and with this line: where a later reader goes on. */
  end: number;
}

/**
 * Follows a file that a program writes, line by line, until the program has ended and all is read. The last line may
 * lack its newline.
 * @param options.from bytes to leave out; the `end` of a line that was read before.
 * @param options.ended whether nobody writes any more.
 * @param options.signal ends the reading early, without an error.
 */
export async function* readJournal(options: {
  file: string;
  from: number;
  ended: () => boolean;
  signal: AbortSignal;
}): AsyncGenerator<JournalLine> {
  const { file, from, ended, signal } = options;
  const handle = await open(file, "r");
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let position = from;
  let parts: Buffer[] = [];
  let kept = 0;
  let length = 0;
  const add = (piece: Buffer) => {
    // Copied: the chunk is read into again.
    if (kept < LINE_LIMIT && piece.length > 0) parts.push(Buffer.from(piece.subarray(0, LINE_LIMIT - kept)));
    kept = Math.min(LINE_LIMIT, kept + piece.length);
    length += piece.length;
  };
  const take = (): string => {
    const text = Buffer.concat(parts).toString("utf8");
    const line = length > LINE_LIMIT ? text.replace(/\uFFFD+$/, "") + CUT_MARK : text;
    parts = [];
    kept = 0;
    length = 0;
    return line;
  };

  try {
    while (!signal.aborted) {
      // Asked before reading: what is read after a yes is all there will be.
      const last = ended();
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position);
      if (bytesRead === 0) {
        if (last) break;
        await Bun.sleep(POLL_MS);
        continue;
      }
      const data = chunk.subarray(0, bytesRead);
      const base = position;
      position += bytesRead;
      let start = 0;
      for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, start)) {
        add(data.subarray(start, at));
        start = at + 1;
        yield { line: take(), end: base + start };
        if (signal.aborted) return;
      }
      add(data.subarray(start));
    }
    if (length > 0 && !signal.aborted) yield { line: take(), end: position };
  } finally {
    await handle.close();
  }
}

/** The last `limit` bytes of a file, as text; "" where there is none. */
export async function tailOf(file: string, limit = 8_192): Promise<string> {
  const handle = await open(file, "r").catch(() => undefined);
  if (!handle) return "";
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.alloc(Math.min(size, limit));
    await handle.read(buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString("utf8").replace(/^\uFFFD+/, "");
  } finally {
    await handle.close();
  }
}
