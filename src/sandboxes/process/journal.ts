import { openUntrusted } from "../../shared/untrusted-file.ts";
import type { FileChanges } from "./file-changes.ts";
import { JournalLineBuffer } from "./journal-line.ts";

const CHUNK_BYTES = 64 * 1024;
/** Bytes of one line that are looked at without a pause. */
const PIECE_BYTES = 8 * 1024;
/** Longest time at a stretch, milliseconds: everything else in this process waits meanwhile. */
const STRETCH_MS = 3;
const NEWLINE = 10;

export interface JournalLine {
  /** Decoded, without its newline; if it is very long, what is kept of it (see journal-line.ts). */
  line: string;
  /** Bytes of the file up to the end of this line, newline included: where a later reader continues. */
  end: number;
}

/**
 * Follows the file that a program writes, line by line, until the program has ended and everything is read. The last
 * line may lack its newline. What the program writes decides neither how much memory this takes, nor how long anything
 * else has to wait.
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
  const handle = await openUntrusted(file);
  if (!handle) throw new Error(`${file} is missing, or no regular file`);
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const current = new JournalLineBuffer();
  let position = from;
  let since = performance.now();
  const isLong = () => performance.now() - since > STRETCH_MS;
  const pause = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    since = performance.now();
  };
  const addLong = async (data: Uint8Array) => {
    for (let at = 0; at < data.length; at += PIECE_BYTES) {
      current.add(data.subarray(at, at + PIECE_BYTES));
      if (isLong()) await pause();
    }
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
        if (at - start <= PIECE_BYTES) current.add(data.subarray(start, at));
        else await addLong(data.subarray(start, at));
        start = at + 1;
        yield { line: current.take(), end: base + start };
        if (signal.aborted) return;
        if (isLong()) await pause();
      }
      await addLong(data.subarray(start));
    }
    if (current.length > 0 && !signal.aborted) yield { line: current.take(), end: position };
  } finally {
    await handle.close();
  }
}

/** The last `limit` bytes of a file, as text; "" if there is no file. */
export async function tailOf(file: string, limit = 8_192): Promise<string> {
  const handle = await openUntrusted(file);
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
