import { asObject, type JsonObject } from "../shared/json.ts";
import type { AgentEvent, AgentIdentity } from "./agent.ts";

/**
 * Shared by all readers: turns a printed line into an event that fits PostgreSQL's jsonb, has a bounded size, and can be
 * rendered by the web UI.
 */

/** An event's size limit, UTF-16 units of its JSON. */
const EVENT_LIMIT = 256 * 1024;
/** Limits for the strings of an event that is too large, applied in turn until it is small enough. */
const STRING_LIMITS = [64 * 1024, 8 * 1024, 512];
/** `tool_use_result` repeats whole files, in addition to the tool_result that the UI shows. */
const TOOL_USE_RESULT_LIMIT = 8 * 1024;
const DEPTH_LIMIT = 64;
const UUID_LIMIT = 100;
/** How many uuids of a run are remembered; whatever is printed after that gets new ones. */
const UUIDS_LIMIT = 100_000;
/** The longest note about characters left out. */
const NOTE_LIMIT = 64;

/** The JSON object on this line; undefined if there is none. */
export function parseObject(line: string): JsonObject | undefined {
  if (!line.trimStart().startsWith("{")) return undefined;
  try {
    return asObject(JSON.parse(line));
  } catch {
    return undefined;
  }
}

/** A plain assistant message, which every client can render. */
export function textEvent(text: string): AgentEvent {
  const message = { role: "assistant", content: [{ type: "text", text }] };
  return { type: "assistant", uuid: crypto.randomUUID(), message };
}

/** Whether the web UI can render or skip this event. Any other event blanks its page. */
export function isRenderable(event: JsonObject): event is AgentEvent {
  if (event["type"] === "system" || event["type"] === "result") return true;
  if (event["type"] !== "assistant" && event["type"] !== "user") return false;
  const message = asObject(event["message"]);
  if (typeof message?.["role"] !== "string") return false;
  const { content } = message;
  if (typeof content === "string") return true;
  return Array.isArray(content) && content.every((one) => typeof asObject(one)?.["type"] === "string");
}

const VERSION = /^[\w.+-]{1,64}$/;
const MODEL = /^[\w.:@/+[\]-]{1,128}$/;

/** What an init event of Claude Code says of it (2.1.330). */
export function identityIn(event: AgentEvent): AgentIdentity {
  if (event.type !== "system" || event["subtype"] !== "init") return {};
  const { claude_code_version: version, model } = event;
  return {
    ...(typeof version === "string" && VERSION.test(version) && { version }),
    ...(typeof model === "string" && MODEL.test(model) && { model }),
  };
}

/** Cleans an event and bounds its size; `type` and the message's role are always kept. */
export function storable(event: AgentEvent, size: number): AgentEvent {
  const trimmed = "tool_use_result" in event ? { ...event, tool_use_result: trim(event) } : event;
  let result = cleaned(trimmed, Number.POSITIVE_INFINITY) as AgentEvent;
  // Cleaning never makes an event longer, so most need no further check.
  if (size <= EVENT_LIMIT) return result;
  for (const limit of STRING_LIMITS) {
    if (JSON.stringify(result).length <= EVENT_LIMIT) return result;
    result = cleaned(result, limit) as AgentEvent;
  }
  return JSON.stringify(result).length <= EVENT_LIMIT ? result : placeholder(result, size);
}

/** A value of the agent's whose JSON has at most about `limit` characters: longer strings are cut, which they say. */
export function boundedValue(value: unknown, limit: number): unknown {
  const whole = cleaned(value, Number.POSITIVE_INFINITY);
  for (const strings of [limit, limit / 8, limit / 128]) {
    const result = cleaned(whole, strings);
    if ((JSON.stringify(result)?.length ?? 0) <= limit) return result;
  }
  return { left_out: "[The rest was left out: too large to keep.]" };
}

/** Gives each event of a run a unique uuid: its own, unless that is missing, invalid or taken. */
export function createUuids(): (event: AgentEvent) => AgentEvent {
  const seen = new Set<string>();
  return (event) => {
    const own: unknown = event.uuid;
    const good =
      typeof own === "string" &&
      own !== "" &&
      own.length <= UUID_LIMIT &&
      seen.size < UUIDS_LIMIT &&
      !seen.has(own);
    // The agent does not know new ones, so it cannot take them.
    if (!good) return { ...event, uuid: crypto.randomUUID() };
    seen.add(own);
    return event;
  };
}

/** Text without what PostgreSQL rejects (NUL, lone surrogates). */
export function cleanText(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}

/** The note behind a text that was cut. */
export const leftOut = (characters: number): string => `… [${characters} more characters left out]`;
const LEFT_OUT = /… \[(\d+) more characters left out\]$/;

/** The first `limit` UTF-16 units, and a note if the text is longer; a note that it had already is counted in. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const [note = "", earlier = "0"] = LEFT_OUT.exec(text.slice(-NOTE_LIMIT)) ?? [];
  const more = text.length - note.length - limit;
  if (more <= 0) return text.slice(0, limit + note.length);
  return `${text.slice(0, limit).toWellFormed()}${leftOut(more + Number(earlier))}`;
}

function trim(event: AgentEvent): unknown {
  const small = cleaned(event["tool_use_result"], 1024);
  const size = JSON.stringify(small)?.length ?? 0;
  return size <= TOOL_USE_RESULT_LIMIT ? small : `[${size} characters left out]`;
}

function cleaned(value: unknown, stringLimit: number, depth = 0): unknown {
  if (typeof value === "string") return cut(cleanText(value), stringLimit);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEPTH_LIMIT) return "[nested too deeply]";
  if (Array.isArray(value)) return value.map((one) => cleaned(one, stringLimit, depth + 1));
  const entries = Object.entries(value).map(([key, one]): [string, unknown] => [
    cut(cleanText(key), 1024),
    cleaned(one, stringLimit, depth + 1),
  ]);
  // fromEntries, not assignment: a key may be __proto__.
  return Object.fromEntries(entries);
}

/** Replaces an event that is too large even with short strings, because it has too many parts. */
function placeholder(event: AgentEvent, size: number): AgentEvent {
  const text = `[An event of ${size} characters was left out: too large to keep.]`;
  const { type, uuid } = event;
  const base: AgentEvent = uuid === undefined ? { type } : { type, uuid };
  if (type === "result")
    return { ...base, subtype: event["subtype"], is_error: event["is_error"], result: text };
  if (type === "system") return { ...base, subtype: "left_out" };
  const role = asObject(event["message"])?.["role"];
  return { ...base, message: { role, content: [{ type: "text", text }] } };
}
