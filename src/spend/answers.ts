import type { ModelApi } from "../db/columns.ts";
import { NO_TOKENS, type Tokens } from "./prices.ts";

/** What an API has said of a call so far. */
export interface AnswerSoFar {
  /** Undefined: it has not said it. */
  model: string | undefined;
  tokens: Tokens;
  tiers: readonly string[];
  /** It has said how much input there was. */
  knowsInput: boolean;
  /** It has said how much output there was at the end. */
  isComplete: boolean;
  /** Characters of output that have passed. */
  characters: number;
  /** An event has said that the answer ends in an error: `overloaded`, because its API has too much to do. */
  error: "overloaded" | "other" | undefined;
  /** The model has declined to answer. */
  isRefused: boolean;
}

export const NO_ANSWER: AnswerSoFar = {
  ...{ model: undefined, tokens: NO_TOKENS, tiers: [], knowsInput: false, isComplete: false, characters: 0 },
  ...{ error: undefined, isRefused: false },
};

export interface AnswerReader {
  /** A part of the body, as it passes. Never throws: an answer that cannot be read is forwarded all the same. */
  push(chunk: Uint8Array): void;
  /** The body has ended, whole or not. */
  end(): void;
  soFar(): AnswerSoFar;
}

type Json = Readonly<Record<string, unknown>>;

/** Of a body that is one JSON text, and of one line of events: what is longer is forwarded, but not read. */
const MOST_BODY_BYTES = 16 * 1024 * 1024;
const MOST_LINE_BYTES = 4 * 1024 * 1024;
const MOST_TOKENS = 1_000_000_000;

/** @param contentType of the answer. */
export function readAnswer(api: ModelApi, contentType: string): AnswerReader {
  const found: Found = { ...NO_ANSWER, tokens: { ...NO_TOKENS } };
  const read = (text: string, isWhole: boolean) => {
    try {
      const value: unknown = JSON.parse(text);
      for (const one of Array.isArray(value) ? value : [value])
        if (typeof one === "object" && one !== null) {
          noteError(found, one as Json);
          READERS[api](one as Json, found, isWhole);
        }
    } catch {
      // Not JSON, such as `[DONE]`.
    }
  };
  const isEvents = contentType.startsWith("text/event-stream");
  const parts = isEvents
    ? lines((line) => line.startsWith("data:") && read(line.slice(5), false))
    : whole((text) => read(text, true));
  return {
    push: parts.push,
    end: parts.end,
    soFar: () => ({ ...found, tokens: { ...found.tokens } }),
  };
}

type Found = { -readonly [Key in keyof AnswerSoFar]: AnswerSoFar[Key] };

const READERS: Readonly<Record<ModelApi, (event: Json, found: Found, isWhole: boolean) => void>> = {
  anthropic(event, found, isWhole) {
    const message = objectIn(event, "message") ?? (event["type"] === "message" ? event : undefined);
    note(found, message?.["model"]);
    const usage = objectIn(message, "usage") ?? objectIn(event, "usage");
    if (usage) {
      const { tokens } = found;
      const written = objectIn(usage, "cache_creation");
      const all = countIn(usage, "cache_creation_input_tokens");
      const hour = countIn(written, "ephemeral_1h_input_tokens");
      tokens.input = countIn(usage, "input_tokens") ?? tokens.input;
      tokens.cacheRead = countIn(usage, "cache_read_input_tokens") ?? tokens.cacheRead;
      if (all !== undefined || hour !== undefined) tokens.cacheWrite1h = hour ?? 0;
      const minutes = countIn(written, "ephemeral_5m_input_tokens") ?? tokens.cacheWrite;
      tokens.cacheWrite = all === undefined ? minutes : Math.max(0, all - tokens.cacheWrite1h);
      tokens.output = countIn(usage, "output_tokens") ?? tokens.output;
      const searches = countIn(objectIn(usage, "server_tool_use"), "web_search_requests");
      tokens.webSearches = searches ?? tokens.webSearches;
      noteTiers(found, usage["service_tier"], usage["speed"], usage["inference_geo"]);
      found.knowsInput = true;
      found.isComplete ||= isWhole || event["type"] === "message_delta";
    }
    found.isRefused ||= (objectIn(event, "delta") ?? message)?.["stop_reason"] === "refusal";
    if (event["type"] === "content_block_delta") found.characters += charactersIn(objectIn(event, "delta"));
    if (isWhole) found.characters += charactersIn(message?.["content"]);
  },
  openai(event, found, isWhole) {
    const response = objectIn(event, "response") ?? event;
    note(found, response["model"]);
    noteTiers(found, response["service_tier"]);
    const usage = objectIn(response, "usage");
    if (usage) {
      const details = objectIn(usage, "prompt_tokens_details") ?? objectIn(usage, "input_tokens_details");
      const input = countIn(usage, "prompt_tokens") ?? countIn(usage, "input_tokens") ?? 0;
      const cacheRead = Math.min(countIn(details, "cached_tokens") ?? 0, input);
      const cacheWrite = Math.min(countIn(details, "cache_write_tokens") ?? 0, input - cacheRead);
      const output = countIn(usage, "completion_tokens") ?? countIn(usage, "output_tokens") ?? 0;
      found.tokens = { ...NO_TOKENS, input: input - cacheRead - cacheWrite, output, cacheRead, cacheWrite };
      found.knowsInput = true;
      found.isComplete = true;
    }
    const { delta } = event;
    found.characters += typeof delta === "string" ? delta.length : 0;
    if (!isWhole)
      for (const one of listIn(event, "choices")) found.characters += charactersIn(objectIn(one, "delta"));
  },
  google(event, found) {
    note(found, event["modelVersion"]);
    const usage = objectIn(event, "usageMetadata");
    if (usage) {
      const count = (name: string) => countIn(usage, name) ?? 0;
      const cacheRead = Math.min(count("cachedContentTokenCount"), count("promptTokenCount"));
      found.tokens = {
        ...NO_TOKENS,
        input: count("promptTokenCount") - cacheRead + count("toolUsePromptTokenCount"),
        output: count("candidatesTokenCount") + count("thoughtsTokenCount"),
        cacheRead,
      };
      found.knowsInput = true;
    }
    for (const one of listIn(event, "candidates")) {
      found.characters += charactersIn(objectIn(one, "content"));
      // Each event says what there was until then.
      found.isComplete ||= usage !== undefined && typeof one["finishReason"] === "string";
    }
  },
};

function note(found: Found, model: unknown): void {
  if (typeof model === "string" && model !== "") found.model = model.slice(0, 200);
}

function noteTiers(found: Found, ...tiers: readonly unknown[]): void {
  const named = tiers.filter((one): one is string => typeof one === "string" && one !== "");
  if (named.length > 0) found.tiers = named.map((one) => one.toLowerCase().slice(0, 50));
}

/** Such as `overloaded_error`, `rate_limit_exceeded`, `UNAVAILABLE`. */
const OVERLOADED = /overloaded|rate_limit|unavailable|resource_exhausted/i;

/** An answer that has begun can only say in an event that it fails. */
function noteError(found: Found, event: Json): void {
  const error = objectIn(event, "error") ?? objectIn(objectIn(event, "response"), "error");
  if (!error && event["type"] !== "error") return;
  const { type, code, status } = { ...event, ...error };
  const isOverloaded = [type, code, status].some((one) => typeof one === "string" && OVERLOADED.test(one));
  found.error = isOverloaded ? "overloaded" : "other";
}

const objectIn = (json: Json | undefined, key: string): Json | undefined => {
  const value = json?.[key];
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
};
const listIn = (json: Json, key: string): Json[] => {
  const value = json[key];
  return Array.isArray(value)
    ? value.filter((one): one is Json => typeof one === "object" && one !== null).slice(0, 128)
    : [];
};
const countIn = (json: Json | undefined, key: string): number | undefined => {
  const value = json?.[key];
  return typeof value === "number" && value >= 0 ? Math.min(Math.ceil(value), MOST_TOKENS) : undefined;
};

/** Texts that are no tokens of the model: names, and the seals of its thoughts. */
const NO_OUTPUT = new Set(["type", "role", "id", "signature", "thoughtSignature"]);

/** Of all texts in a part of an answer, to a small depth. */
function charactersIn(value: unknown, depth = 0): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null || depth > 5) return 0;
  return Object.entries(value)
    .filter(([key]) => !NO_OUTPUT.has(key))
    .reduce((sum, [, one]) => sum + charactersIn(one, depth + 1), 0);
}

/** Splits events into lines, whatever the chunks. */
function lines(onLine: (line: string) => void): Pick<AnswerReader, "push" | "end"> {
  const decoder = new TextDecoder();
  let rest = "";
  let skips = false;
  const take = (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    for (const [index, line] of parts.entries()) {
      if (!(skips && index === 0)) onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
    }
    if (parts.length > 0) skips = false;
    if (rest.length > MOST_LINE_BYTES) {
      rest = "";
      skips = true;
    }
  };
  return { push: (chunk) => take(decoder.decode(chunk, { stream: true })), end: () => take("\n") };
}

function whole(onText: (text: string) => void): Pick<AnswerReader, "push" | "end"> {
  let parts: Uint8Array[] = [];
  let size = 0;
  return {
    push(chunk) {
      size += chunk.length;
      if (size <= MOST_BODY_BYTES) parts.push(chunk);
      else parts = [];
    },
    end() {
      if (parts.length > 0) onText(Buffer.concat(parts).toString("utf8"));
      parts = [];
    },
  };
}
