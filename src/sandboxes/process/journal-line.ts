import { leftOut } from "../../agents/events.ts";
import { JsonCompactor } from "./json-compactor.ts";

/** Longest line that is kept as it is, bytes: JSON of this size is parsed in a millisecond or two, whatever is in it. */
const SHORT_BYTES = 16 * 1024;
/** Longest text line, bytes, note included. */
const TEXT_BYTES = 64 * 1024;
const NOTE_BYTES = 64;
const SPACES = /^[ \t\r]*/;

/**
 * One line of an agent's output while its bytes stream by. It is never held whole: a long JSON object is made compact (see
 * json-compactor.ts), any other long line is cut.
 */
export class JournalLineBuffer {
  private readonly head = Buffer.allocUnsafe(TEXT_BYTES - NOTE_BYTES);
  private kept = 0;
  /** Of a long line: all its UTF-16 units. */
  private units = 0;
  private long = false;
  private compactor: JsonCompactor | undefined;
  length = 0;

  add(piece: Uint8Array): void {
    const before = this.kept;
    this.length += piece.length;
    this.kept += Math.min(piece.length, this.head.length - before);
    this.head.set(piece.subarray(0, this.kept - before), before);
    if (this.length <= SHORT_BYTES) return;
    // What came before belongs to the line, too.
    if (!this.long) this.continueLong(this.head.subarray(0, before));
    this.long = true;
    this.continueLong(piece);
  }

  /** Ends the line. */
  take(): string {
    if (!this.long && this.length <= SHORT_BYTES) {
      const line = this.head.toString("utf8", 0, this.kept);
      this.kept = 0;
      this.length = 0;
      return line;
    }
    const compact = this.compactor?.take();
    const { length, kept } = this;
    let line = compact ?? this.head.toString("utf8", 0, kept);
    if (compact === undefined && length > kept) {
      // A character torn at the cut decodes as U+FFFD.
      line = line.replace(/\uFFFD{1,3}$/, "");
      line += leftOut(Math.max(1, this.units - line.length));
    }
    this.kept = 0;
    this.length = 0;
    this.units = 0;
    this.long = false;
    this.compactor = undefined;
    return line;
  }

  private continueLong(piece: Uint8Array): void {
    this.units += unitsIn(piece);
    if (!this.long) {
      const start = this.head.toString("latin1", 0, Math.max(1, this.kept)).replace(SPACES, "");
      if (start.startsWith("{")) this.compactor = new JsonCompactor();
    }
    this.compactor?.add(piece);
  }
}

/** UTF-16 units of text in UTF-8: one for each character, two for those of four bytes. */
function unitsIn(bytes: Uint8Array): number {
  let units = 0;
  // Not for…of: an iterator takes ten times as long.
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
  }
  return units;
}
