import type { AgentEvent } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";

/** Longest text that lines are joined to, characters. */
const TEXT_CHARS = 64 * 1024;
/** The JSON around a text. */
const ENVELOPE_BYTES = 150;
/** Up to here a line is taken as large as its event: they hardly differ. */
const SMALL_CHARS = 4 * 1024;

/** Events that wait to be stored; neighbouring lines of plain text become one event. */
export interface EventBatch {
  /** @param line what the event was read from. */
  add(read: AgentEvent | string, line: string): void;
  /** How many events there are, and their size in bytes, about. */
  events(): number;
  bytes(): number;
  /** All events; the batch is empty afterwards. */
  take(): AgentEvent[];
}

export function createEventBatch(): EventBatch {
  let events: AgentEvent[] = [];
  let bytes = 0;
  let lines: string[] = [];
  let chars = 0;

  const closeText = () => {
    const text = lines.join("\n").trimEnd();
    if (text !== "") events.push(textEvent(text));
    lines = [];
    chars = 0;
  };

  return {
    add(read, line) {
      if (typeof read !== "string") {
        closeText();
        events.push(read);
        bytes += sizeOf(read, line);
        return;
      }
      // An empty line is kept between others only.
      if (read === "" && lines.length === 0) return;
      if (lines.length > 0 && chars + read.length >= TEXT_CHARS) closeText();
      if (lines.length === 0) bytes += ENVELOPE_BYTES;
      lines.push(read);
      chars += read.length + 1;
      bytes += Buffer.byteLength(read) + 1;
    },
    events: () => events.length + (lines.length > 0 ? 1 : 0),
    bytes: () => bytes,
    take() {
      closeText();
      const all = events;
      events = [];
      bytes = 0;
      return all;
    },
  };
}

function sizeOf(event: AgentEvent, line: string): number {
  return Buffer.byteLength(line.length > SMALL_CHARS ? JSON.stringify(event) : line);
}
