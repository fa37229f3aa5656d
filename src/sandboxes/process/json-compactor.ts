import { JsonBudget } from "./json-budget.ts";
import { ByteSink, JsonStringCopier } from "./json-string-copier.ts";

/** What is kept of a key of the outermost object, bytes. */
const KEY_BYTES = 48;
/** The whole result: more than the budget and the marks together. */
const MOST = 1024 * 1024;
const DEPTH_LIMIT = 64;
const TOKEN_LIMIT = 64;
/** Input between two looks at the room for output, which can be this many times larger, because of the marks. */
const SLICE = 16 * 1024;
const GROWTH = 8;

const [QUOTE = 0, COMMA, COLON, OPEN_ARRAY, CLOSE_ARRAY, OPEN, CLOSE, SPACE, TAB, RETURN] =
  Buffer.from('",:[]{} \t\r');

/**
 * Makes a JSON object of any size small while its bytes stream by, so that JSON.parse gets little: long strings are cut
 * and marked, what is nested too deeply or has too many parts is left out. The member `left_out` says that parts are
 * missing. Nothing is parsed twice and nothing is kept but the result, which has 1 MiB at the very most; more is not JSON.
 */
export class JsonCompactor {
  private readonly out = new ByteSink(GROWTH * SLICE);
  private readonly key = new ByteSink(1024);
  private readonly string = new JsonStringCopier();
  private inString = false;
  /** Not JSON: too many brackets, or the wrong ones. */
  private broken = false;
  private depth = 0;
  /** The containers that are open, by their first byte. */
  private readonly open = new Uint8Array(DEPTH_LIMIT + 1);
  /** Not 0: everything is left out until the container at this depth ends. 1: or until its next member begins. */
  private skip = 0;
  private skipped = 0;
  /** Of the outermost object: the next string is a key; a key was read and its value has not begun. */
  private expectsKey = false;
  private hasKey = false;
  private readonly budget = new JsonBudget();
  private token = 0;

  add(piece: Uint8Array): void {
    for (let from = 0; from < piece.length && !this.broken; from += SLICE) {
      const to = Math.min(piece.length, from + SLICE);
      this.out.reserve(GROWTH * SLICE);
      for (let at = from; at < to && !this.broken; ) at = this.step(piece, at, to);
      // What is not JSON, such as values without commas between them, has no other limit.
      if (this.out.size > MOST) this.broken = true;
    }
  }

  /** Ends the object. @returns its compact text; undefined if it is incomplete or its brackets do not match. */
  take(): string | undefined {
    const complete = !this.broken && this.depth === 0 && !this.inString;
    return complete ? this.out.text() : undefined;
  }

  /** Takes at least one byte. @returns where to go on. */
  private step(piece: Uint8Array, at: number, to: number): number {
    let end = at + 1;
    if (this.inString) {
      end = this.string.take(piece, at, to);
      if (this.string.ended) this.endString();
    } else if (this.skip > 0) end = this.skipFrom(piece, at, to);
    else this.structure(piece[at] as number);
    return end;
  }

  /** What is left out is looked at no closer than its end requires. */
  private skipFrom(piece: Uint8Array, from: number, to: number): number {
    const { skip } = this;
    let { depth } = this;
    let at = from;
    for (; at < to; at += 1) {
      const byte = piece[at];
      if (byte === OPEN || byte === OPEN_ARRAY) depth += 1;
      else if (byte === QUOTE || (depth === skip && (byte === CLOSE || byte === CLOSE_ARRAY))) break;
      else if (byte === CLOSE || byte === CLOSE_ARRAY) depth -= 1;
      else if (byte === COMMA && depth === 1) break;
    }
    this.depth = depth;
    this.skipped += at - from;
    if (at === to) return to;
    this.structure(piece[at] as number);
    return at + 1;
  }

  private structure(byte: number): void {
    if (byte === SPACE || byte === TAB || byte === RETURN) return;
    if (byte === QUOTE) this.beginString();
    else if (byte === OPEN || byte === OPEN_ARRAY) this.begin(byte);
    else if (byte === CLOSE || byte === CLOSE_ARRAY) this.end(byte);
    else if (byte === COMMA) this.comma();
    else if (byte === COLON) this.colon();
    else this.inToken(byte);
  }

  private beginString(): void {
    this.token = 0;
    this.inString = true;
    if (this.depth === 0) this.broken = true;
    else if (this.skip > 0) this.string.begin(undefined, 0);
    else if (this.expectsKey) {
      this.key.size = 0;
      this.string.begin(this.key, KEY_BYTES);
    } else {
      this.budget.countNode();
      this.out.byte(QUOTE);
      this.string.begin(this.out, this.budget.roomForString());
    }
  }

  private endString(): void {
    this.inString = false;
    if (this.skip > 0) {
      this.skipped += this.string.length;
      return;
    }
    if (this.expectsKey) {
      this.expectsKey = false;
      this.hasKey = true;
      return;
    }
    this.budget.spend(this.string.kept);
    this.out.byte(QUOTE);
  }

  private begin(byte: number): void {
    this.token = 0;
    if (this.depth === 0 && this.out.size > 0) this.broken = true;
    this.budget.countNode();
    if (this.depth === DEPTH_LIMIT) {
      this.out.write('"[nested too deeply]"');
      this.depth += 1;
      this.skip = this.depth;
      return;
    }
    this.depth += 1;
    this.open[this.depth] = byte;
    this.expectsKey = this.depth === 1;
    this.out.byte(byte);
  }

  private end(byte: number): void {
    this.token = 0;
    const { depth } = this;
    this.depth = depth - 1;
    this.skip = 0;
    // The text in its place is written already.
    if (depth > DEPTH_LIMIT) return;
    // In ASCII, a closing bracket comes two places after its opening one.
    if (depth === 0 || this.open[depth] !== byte - 2) {
      this.broken = true;
      return;
    }
    if (depth === 1 && this.skipped > 0)
      this.out.write(`${this.out.size > 1 ? "," : ""}"left_out":"${this.skipped} bytes"`);
    this.out.byte(byte);
  }

  private comma(): void {
    this.token = 0;
    if (this.depth === 0) this.broken = true;
    else if (this.depth === 1) {
      this.skip = 0;
      this.expectsKey = true;
    } else if (this.budget.isUsedUp()) this.skip = this.depth;
    else this.out.byte(COMMA as number);
  }

  private colon(): void {
    this.token = 0;
    const isMember = this.hasKey;
    this.hasKey = false;
    if (!isMember) this.out.byte(COLON as number);
    else if (this.budget.isClosed()) this.skip = 1;
    else this.beginMember(this.key.text());
  }

  private beginMember(key: string): void {
    if (!this.budget.beginMember(key)) {
      this.skip = 1;
      return;
    }
    this.out.write(`${this.out.size > 1 ? "," : ""}"${key}":`);
  }

  /** Of a number, true, false or null. */
  private inToken(byte: number): void {
    this.token += 1;
    if (this.token === 1) this.budget.countNode();
    if (this.depth === 0 || this.token > TOKEN_LIMIT) this.broken = true;
    else this.out.byte(byte);
  }
}
