import type { AgentEvent } from "./agent.ts";

/**
 * What all readers share: from a printed line to an event that PostgreSQL's jsonb takes, that is of a sane size, and
 * that the web UI can render.
 */

/** An event's size limit, UTF-16 units of its JSON. */
const EVENT_LIMIT = 256 * 1024;
/** Longest string that is kept, tried in turn until the event is small enough. */
const STRING_LIMITS = [64 * 1024, 8 * 1024, 512];
/** `tool_use_result` repeats whole files beside the tool_result that the UI shows. */
const TOOL_USE_RESULT_LIMIT = 8 * 1024;
const DEPTH_LIMIT = 64;
const UUID_LIMIT = 100;

export type JsonObject = Record<string, unknown>;

/** The JSON object on this line, or undefined. */
export function parseObject(line: string): JsonObject | undefined {
  if (!line.trimStart().startsWith("{")) return undefined;
  try {
    return asObject(JSON.parse(line));
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : undefined;
}

/** An ordinary assistant message, which every client can render. */
export function textEvent(text: string): AgentEvent {
  const message = { role: "assistant", content: [{ type: "text", text }] };
  return { type: "assistant", uuid: crypto.randomUUID(), message };
}

/** Whether the web UI renders or skips this without harm. Any other event blanks its page. */
export function isRenderable(event: JsonObject): event is AgentEvent {
  if (event["type"] === "system" || event["type"] === "result") return true;
  if (event["type"] !== "assistant" && event["type"] !== "user") return false;
  const message = asObject(event["message"]);
  if (typeof message?.["role"] !== "string") return false;
  const { content } = message;
  if (typeof content === "string") return true;
  return Array.isArray(content) && content.every((one) => typeof asObject(one)?.["type"] === "string");
}

/** Cleans and bounds an event; `type` and the message's role survive any cut. */
export function storable(event: AgentEvent, size: number): AgentEvent {
  const trimmed = "tool_use_result" in event ? { ...event, tool_use_result: trim(event) } : event;
  let result = cleaned(trimmed, Number.POSITIVE_INFINITY) as AgentEvent;
  // Cleaning only shortens: most events need no second look.
  if (size <= EVENT_LIMIT) return result;
  for (const limit of STRING_LIMITS) {
    if (JSON.stringify(result).length <= EVENT_LIMIT) return result;
    result = cleaned(result, limit) as AgentEvent;
  }
  return JSON.stringify(result).length <= EVENT_LIMIT ? result : remains(result, size);
}

/** Gives each event of a run a uuid that no other has: its own, unless that is missing, odd or taken. */
export function createUuids(): (event: AgentEvent) => AgentEvent {
  const seen = new Set<string>();
  return (event) => {
    const own: unknown = event.uuid;
    const good = typeof own === "string" && own !== "" && own.length <= UUID_LIMIT && !seen.has(own);
    const uuid = good ? own : crypto.randomUUID();
    seen.add(uuid);
    return good ? event : { ...event, uuid };
  };
}

/** Text without what PostgreSQL refuses (NUL, half surrogate pairs). */
export function cleanText(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}

/** The first `limit` units, marked where something is missing. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit).toWellFormed()}… [${text.length - limit} more characters left out]`;
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

/** What is left of an event that is too large by its sheer number of parts. */
function remains(event: AgentEvent, size: number): AgentEvent {
  const text = `[An event of ${size} characters was left out: too large to keep.]`;
  const { type, uuid } = event;
  const base: AgentEvent = uuid === undefined ? { type } : { type, uuid };
  if (type === "result")
    return { ...base, subtype: event["subtype"], is_error: event["is_error"], result: text };
  if (type === "system") return { ...base, subtype: "left_out" };
  const role = asObject(event["message"])?.["role"];
  return { ...base, message: { role, content: [{ type: "text", text }] } };
}
