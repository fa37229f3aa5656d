import { openUntrusted } from "../../shared/untrusted-file.ts";
import type { FileChanges } from "./file-changes.ts";
import { JournalLineBuffer } from "./journal-line.ts";

const CHUNK_BYTES = 64 * 1024;
/** Bytes of one line that are looked at without a pause. */
const PIECE_BYTES = 8 * 1024;
/** Longest time at a stretch, milliseconds: everything else in this process waits meanwhile. */
const STRETCH_MS = 3;
const NEWLINE = 10;
const [OPEN = 0, SPACE = 0] = Buffer.from("{ ");
/** At the end of what a program has printed; more than any result of an agent. */
const END_BYTES = 1024 * 1024;

export interface JournalLine {
  /** Decoded, without its newline; if it is very long, what is kept of it (see journal-line.ts). */
  line: string;
  /** Bytes of the file up to the end of this line, newline included: where a later reader continues. */
  end: number;
}

/** What a reader of a whole run knows of it, so that a gigabyte of short lines takes seconds instead of minutes. */
export interface ReadingByRun {
  /**
   * Neighbouring lines that are no JSON objects come as one, with their newlines, up to about 64 KiB; but none of before
   * this byte together with one of after it.
   */
  joinTextFrom: number;
  /** Once it is true, only what was printed last is of interest: what is before that is left out. */
  onlyEnd: () => boolean;
}

/**
 * Follows the file that a program writes, line by line, until the program has ended and everything is read. The last
 * line may lack its newline. What the program writes decides neither how much memory this takes, nor how long anything
 * else has to wait.
 * @param options.from bytes to skip: the `end` of a line that was read before.
 * @param options.ended whether nothing writes to the file any more.
 * @param options.changes when to read on after the end of the file was reached.
 * @param options.byRun default: each line by itself, and all of them.
 * @param options.signal ends the reading early, without an error.
 */
export async function* readJournal(options: {
  file: string;
  from: number;
  ended: () => boolean;
  changes: Pick<FileChanges, "count" | "after">;
  byRun?: ReadingByRun | undefined;
  signal: AbortSignal;
}): AsyncGenerator<JournalLine> {
  const { file, from, ended, changes, byRun, signal } = options;
  const handle = await openUntrusted(file);
  if (!handle) throw new Error(`${file} is missing, or no regular file`);
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const current = new JournalLineBuffer();
  let position = from;
  /** The reading goes on in the middle of a line. */
  let torn = false;
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
      if (byRun?.onlyEnd()) {
        if (!last) {
          await changes.after(seen);
          continue;
        }
        const { size } = await handle.stat();
        if (size - END_BYTES > position) {
          position = size - END_BYTES;
          torn = true;
        }
      }
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
      if (torn) {
        start = data.indexOf(NEWLINE) + 1;
        if (start === 0) continue;
        current.take();
        torn = false;
      }
      for (let at = data.indexOf(NEWLINE, start); at >= 0; at = data.indexOf(NEWLINE, start)) {
        const end = byRun && current.length === 0 ? endOfText(data, start, byRun.joinTextFrom - base) : start;
        if (end > start) {
          yield { line: data.toString("utf8", start, end - 1), end: base + end };
          start = end;
          if (signal.aborted) return;
          if (isLong()) await pause();
          continue;
        }
        if (at - start <= PIECE_BYTES) current.add(data.subarray(start, at));
        else await addLong(data.subarray(start, at));
        start = at + 1;
        yield { line: current.take(), end: base + start };
        if (signal.aborted) return;
        if (isLong()) await pause();
      }
      await addLong(data.subarray(start));
      // The end was reached; what was written since is a change.
      if (bytesRead < CHUNK_BYTES && !last && !signal.aborted) await changes.after(seen);
    }
    if (current.length > 0 && !signal.aborted) yield { line: current.take(), end: position };
  } finally {
    await handle.close();
  }
}

/**
 * The end of the lines from `start` on that cannot be JSON objects: after a newline, or `start`. Lines on both sides of
 * `border` do not belong together.
 */
function endOfText(data: Buffer, start: number, border: number): number {
  const complete = data.lastIndexOf(NEWLINE) + 1;
  const end = start < border && border < complete ? border : complete;
  for (let at = data.indexOf(OPEN, start); at >= 0 && at < end; at = data.indexOf(OPEN, at)) {
    const line = data.lastIndexOf(NEWLINE, at) + 1;
    let first = Math.max(start, line);
    while (first < at && isBlank(data[first] as number)) first += 1;
    if (first === at) return Math.max(start, line);
    at = data.indexOf(NEWLINE, at);
  }
  return end;
}

/** Or a part of a character that may be one. */
const isBlank = (byte: number) => byte <= SPACE || byte >= 0x80;

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
