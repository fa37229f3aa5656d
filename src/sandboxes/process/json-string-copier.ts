import { leftOut } from "../../agents/events.ts";

/** Bytes that are kept. Whoever writes reserves room for a whole slice of input first. */
export class ByteSink {
  bytes: Buffer;
  size = 0;

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafe(capacity);
  }
  reserve(more: number): void {
    if (this.size + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.size + more));
    this.bytes.copy(larger, 0, 0, this.size);
    this.bytes = larger;
  }
  byte(byte: number): void {
    this.bytes[this.size++] = byte;
  }
  write(text: string): void {
    this.size += this.bytes.write(text, this.size);
  }
  text(): string {
    return this.bytes.toString("utf8", 0, this.size);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
/** Bytes of an escape such as \u00e9, and of the longest character in UTF-8. */
const ESCAPE_BYTES = 6;
const CHARACTER_BYTES = 4;
/** The first half of a surrogate pair as an escape: \ud800 to \udbff. */
const FIRST_HALF = /^\\u[dD][89abAB]/;

/** Copies the inside of one JSON string after the other, cut where no character, escape or pair is torn. */
export class JsonStringCopier {
  /** Bytes copied of the current string. */
  kept = 0;
  /** Bytes of it read so far. */
  length = 0;
  ended = false;
  private sink: ByteSink | undefined;
  private allowed = 0;
  /** UTF-16 units left out; the string is cut once this is not 0. */
  private cut = 0;
  /** Bytes of the current escape so far; 0 outside of one. */
  private escape = 0;
  /** `kept` at the end of the last escape with hexadecimal digits. */
  private escapeEnd = -1;

  /** Begins after the opening quote. @param sink undefined: nothing is kept. */
  begin(sink: ByteSink | undefined, allowed: number): void {
    this.sink = sink;
    this.allowed = allowed;
    this.kept = 0;
    this.length = 0;
    this.ended = false;
    this.cut = 0;
    this.escape = 0;
    this.escapeEnd = -1;
  }

  /** Takes bytes up to the end of the string. There the mark, but no quote, is written. @returns where to go on. */
  take(piece: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at < to && !this.ended) {
      if (this.cut > 0 && this.escape === 0) at = this.leaveOut(piece, at, to);
      if (at < to) this.next(piece[at++] as number);
    }
    this.length += at - from;
    return at;
  }

  /** The fast way through what is not kept. @returns where the next quote or escape is. */
  private leaveOut(piece: Uint8Array, from: number, to: number): number {
    let units = 0;
    let at = from;
    for (; at < to; at += 1) {
      const byte = piece[at] as number;
      if (byte === QUOTE || byte === BACKSLASH) break;
      if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
    }
    this.cut += units;
    return at;
  }

  private next(byte: number): void {
    if (this.escape > 0) this.inEscape(byte);
    else if (byte === QUOTE) {
      if (this.sink && this.cut > 0) this.sink.write(leftOut(this.cut));
      this.ended = true;
    } else if (byte === BACKSLASH) {
      this.escape = 1;
      this.begins(byte, 1);
    } else if ((byte & 0xc0) !== 0x80) this.begins(byte, byte >= 0xf0 ? 2 : 1);
    // More of the same character; in text that is not UTF-8 there may be any number of them.
    else if (this.cut === 0 && this.kept < this.allowed + CHARACTER_BYTES) this.keep(byte);
  }

  private begins(byte: number, units: number): void {
    if (this.cut === 0 && this.kept < this.allowed) this.keep(byte);
    else {
      if (this.cut === 0) this.dropHalfPair();
      this.cut += units;
    }
  }

  private inEscape(byte: number): void {
    if (this.cut === 0) this.keep(byte);
    this.escape += 1;
    if (this.escape === ESCAPE_BYTES) this.escapeEnd = this.kept;
    if (this.escape === ESCAPE_BYTES || (this.escape === 2 && byte !== LETTER_U)) this.escape = 0;
  }

  private keep(byte: number): void {
    this.kept += 1;
    this.sink?.byte(byte);
  }

  private dropHalfPair(): void {
    const { sink } = this;
    if (!sink || this.escapeEnd !== this.kept) return;
    const last = sink.bytes.toString("latin1", sink.size - ESCAPE_BYTES, sink.size);
    if (!FIRST_HALF.test(last)) return;
    sink.size -= ESCAPE_BYTES;
    this.cut += 1;
  }
}
