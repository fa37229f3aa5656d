/** What one member of the outermost object may keep: parts, bytes of strings, bytes of one string. */
const MEMBER = { nodes: 4_000, bytes: 256 * 1024, string: 128 * 1024 };
/** It repeats whole files, and little of it is stored (see agents/events.ts). */
const REPEATED = { name: "tool_use_result", nodes: 1_000, bytes: 16 * 1024, string: 2 * 1024 };
/** What all members together may keep. */
const TOTAL = { nodes: 8_000, bytes: 384 * 1024 };
/** What is kept of each string when the bytes are used up: enough for ids and types. */
const SHORT_STRING = 48;
/** Members that are kept even then, and how many of them: there may be a million of one name. */
const ESSENTIAL = ["type", "subtype", "is_error", "uuid", "terminal_reason"];
const ESSENTIAL_LIMIT = 10;

/** How much of a JSON object is kept (see json-compactor.ts): of all of it, and of each member of the outermost object. */
export class JsonBudget {
  private essentials = 0;
  private member = { ...MEMBER };
  private total = { ...TOTAL };

  /** Whether no further member is kept, whatever its key: there may be a million whose keys need not be decoded. */
  isClosed(): boolean {
    return this.total.nodes < 0 && this.essentials >= ESSENTIAL_LIMIT;
  }

  /** @returns whether this member of the outermost object is kept; if so, what follows counts as its own. */
  beginMember(key: string): boolean {
    if (this.total.nodes < 0 && !this.takeEssential(key)) return false;
    this.member = { ...(key === REPEATED.name ? REPEATED : MEMBER) };
    this.countNode();
    return true;
  }

  /** A value, whatever its kind. */
  countNode(): void {
    this.member.nodes -= 1;
    this.total.nodes -= 1;
  }

  /** Bytes of a string that were kept. */
  spend(bytes: number): void {
    this.member.bytes -= bytes;
    this.total.bytes -= bytes;
  }

  /** Bytes that the next string may keep. */
  roomForString(): number {
    const { bytes, string } = this.member;
    return Math.max(SHORT_STRING, Math.min(string, bytes, this.total.bytes));
  }

  /** Whether the rest of the container is left out. */
  isUsedUp(): boolean {
    return this.member.nodes < 0 || this.total.nodes < 0;
  }

  private takeEssential(key: string): boolean {
    if (this.essentials >= ESSENTIAL_LIMIT || !ESSENTIAL.includes(key)) return false;
    this.essentials += 1;
    return true;
  }
}
