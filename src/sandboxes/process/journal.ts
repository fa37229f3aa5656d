import { open } from "node:fs/promises";
import type { FileChanges } from "./file-changes.ts";

/** Bytes after which a line is cut and marked (16 MiB): agents print whole files in one line. */
const LINE_LIMIT = 16 * 1024 * 1024;
const CUT_MARK = "…[line cut]";
const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 10;

export interface JournalLine {
  /** Decoded, without its newline. */
  line: string;
  /** Bytes of the file up to the end of this line, newline included: where a later reader continues. */
  end: number;
}

/**
 * Follows the file that a program writes, line by line, until the program has ended and everything is read. The last
 * line may lack its newline.
 * @param options.from bytes to skip: the `end` of a line that was read before.
 * @param options.ended whether nothing writes to the file any more.
 * @param options.changes when to read on after the end of the file was reached.
 * @param options.signal ends the reading early, without an error.
 */
export async function* readJournal(options: {
  file: string;
  from: number;
  ended: () => boolean;
  changes: Pick<FileChanges, "count" | "after">;
  signal: AbortSignal;
}): AsyncGenerator<JournalLine> {
  const { file, from, ended, changes, signal } = options;
  const handle = await open(file, "r");
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let position = from;
  let parts: Buffer[] = [];
  let kept = 0;
  let length = 0;
  const add = (piece: Buffer) => {
    // A copy: the chunk is reused.
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
      // Both before reading: once it has ended, what is read is all there will be.
      const seen = changes.count();
      const last = ended();
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position);
      if (bytesRead === 0) {
        if (last) break;
        await changes.after(seen);
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

/** The last `limit` bytes of a file, as text; "" if there is no file. */
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
