import type { ModelApi } from "../db/columns.ts";
import { asObject } from "../shared/json.ts";
import { NO_TOKENS, type Tokens } from "./prices.ts";
import { MODEL_NAME, type Tiers, tiersIn } from "./requests.ts";

/** What an API has said of a call so far. */
export interface AnswerSoFar {
  /** Undefined: it has not said it. */
  model: string | undefined;
  tokens: Tokens;
  /** On the same bill, but not in `tokens`: what models have used that advised, or shortened the conversation. */
  besides: readonly { model: string | undefined; tokens: Tokens }[];
  tiers: Tiers;
  /** It has said how much input there was. */
  knowsInput: boolean;
  /** It has said how much output there was at the end. */
  isComplete: boolean;
  /** Characters of output that have passed. Of a body that cannot be read, all of it. */
  characters: number;
  /** An event has said that the answer ends in an error: `overloaded`, because its API has too much to do. */
  error: "overloaded" | "other" | undefined;
  /** The model has declined to answer. */
  isRefused: boolean;
}

export const NO_ANSWER: AnswerSoFar = {
  ...{ model: undefined, tokens: NO_TOKENS, besides: [], tiers: {}, knowsInput: false, isComplete: false },
  ...{ characters: 0, error: undefined, isRefused: false },
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

export const isEventStream = (contentType: string): boolean =>
  contentType.toLowerCase().startsWith("text/event-stream");

/** @param contentType of the answer. */
export function readAnswer(api: ModelApi, contentType: string): AnswerReader {
  const found: Found = { ...NO_ANSWER, tokens: { ...NO_TOKENS } };
  /** @returns whether it is JSON. */
  const read = (text: string, isWhole: boolean): boolean => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return false;
    }
    for (const one of Array.isArray(value) ? value : [value])
      if (typeof one === "object" && one !== null) {
        noteError(found, one as Json);
        READERS[api](one as Json, found, isWhole);
      }
    return true;
  };
  const parts = isEventStream(contentType)
    ? lines(dataOf((text) => read(text, false)))
    : whole((text, size) => {
        // Cut off, or too long: otherwise who hangs up before the last byte would have it for nothing.
        if (text === undefined || !read(text, true)) found.characters += size;
      });
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
    found.model = nameIn(message?.["model"]) ?? found.model;
    const usage = objectIn(message, "usage") ?? objectIn(event, "usage");
    if (usage) {
      found.tokens = anthropicTokens(usage, found.tokens);
      if (Array.isArray(usage["iterations"]))
        found.besides = listIn(usage, "iterations")
          .filter((one) => BESIDES.has(one["type"]))
          .map((one) => ({ model: nameIn(one["model"]), tokens: anthropicTokens(one, NO_TOKENS) }));
      noteTiers(found, usage);
      found.knowsInput = true;
      found.isComplete ||= isWhole || event["type"] === "message_delta";
    }
    found.isRefused ||= (objectIn(event, "delta") ?? message)?.["stop_reason"] === "refusal";
    if (event["type"] === "content_block_delta") found.characters += charactersIn(objectIn(event, "delta"));
    if (isWhole) found.characters += charactersIn(message?.["content"]);
  },
  openai(event, found, isWhole) {
    const response = objectIn(event, "response") ?? event;
    found.model = nameIn(response["model"]) ?? found.model;
    noteTiers(found, response);
    // Each when it is done, and all at the end.
    const listed = listIn(response, "output").filter(isSearch).length;
    const isDone = event["type"] === "response.output_item.done" && isSearch(objectIn(event, "item"));
    const webSearches = Math.max(found.tokens.webSearches + Number(isDone), listed);
    found.tokens = { ...found.tokens, webSearches };
    const usage = objectIn(response, "usage");
    if (usage) {
      const details = objectIn(usage, "prompt_tokens_details") ?? objectIn(usage, "input_tokens_details");
      const input = countIn(usage, "prompt_tokens") ?? countIn(usage, "input_tokens") ?? 0;
      const cacheRead = Math.min(countIn(details, "cached_tokens") ?? 0, input);
      const cacheWrite = Math.min(countIn(details, "cache_write_tokens") ?? 0, input - cacheRead);
      const output = countIn(usage, "completion_tokens") ?? countIn(usage, "output_tokens") ?? 0;
      found.tokens = {
        ...found.tokens,
        input: input - cacheRead - cacheWrite,
        output,
        cacheRead,
        cacheWrite,
      };
      found.knowsInput = true;
      found.isComplete = true;
    }
    const { delta } = event;
    found.characters += typeof delta === "string" ? delta.length : 0;
    for (const one of listIn(event, "choices"))
      found.characters += charactersIn(objectIn(one, isWhole ? "message" : "delta"));
    if (isWhole) found.characters += charactersIn(response["output"]);
  },
  google(event, found) {
    found.model = nameIn(event["modelVersion"]) ?? found.model;
    const usage = objectIn(event, "usageMetadata");
    if (usage) {
      const count = (name: string) => countIn(usage, name) ?? 0;
      const cacheRead = Math.min(count("cachedContentTokenCount"), count("promptTokenCount"));
      found.tokens = {
        ...found.tokens,
        input: count("promptTokenCount") - cacheRead + count("toolUsePromptTokenCount"),
        output: count("candidatesTokenCount") + count("thoughtsTokenCount"),
        cacheRead,
      };
      found.knowsInput = true;
    }
    for (const one of listIn(event, "candidates")) {
      found.characters += charactersIn(objectIn(one, "content"));
      const searches = searchesIn(objectIn(one, "groundingMetadata"), found.model);
      found.tokens = { ...found.tokens, webSearches: Math.max(found.tokens.webSearches, searches) };
      // Each event says what there was until then.
      found.isComplete ||= usage !== undefined && typeof one["finishReason"] === "string";
    }
  },
};

/** Steps of a call whose usage is not in that of the call. */
const BESIDES: ReadonlySet<unknown> = new Set(["advisor_message", "compaction"]);

/** @param before what was said earlier; the newest word counts. */
function anthropicTokens(usage: Json, before: Tokens): Tokens {
  const written = objectIn(usage, "cache_creation");
  const all = countIn(usage, "cache_creation_input_tokens");
  const hour = countIn(written, "ephemeral_1h_input_tokens");
  const cacheWrite1h = all !== undefined || hour !== undefined ? (hour ?? 0) : before.cacheWrite1h;
  const minutes = countIn(written, "ephemeral_5m_input_tokens") ?? before.cacheWrite;
  const searches = countIn(objectIn(usage, "server_tool_use"), "web_search_requests");
  return {
    input: countIn(usage, "input_tokens") ?? before.input,
    output: countIn(usage, "output_tokens") ?? before.output,
    cacheRead: countIn(usage, "cache_read_input_tokens") ?? before.cacheRead,
    cacheWrite: all === undefined ? minutes : Math.max(0, all - cacheWrite1h),
    cacheWrite1h,
    webSearches: searches ?? before.webSearches,
  };
}

/** Whether this part of an answer is a search; the pages that are opened after it cost nothing. */
const isSearch = (item: Json | undefined): boolean =>
  item?.["type"] === "web_search_call" &&
  ["search", undefined].includes(objectIn(item, "action")?.["type"] as undefined);

/** Google charges for each query; for its older models, once for all of them. */
function searchesIn(grounding: Json | undefined, model: string | undefined): number {
  const queries: unknown = grounding?.["webSearchQueries"];
  const asked = Array.isArray(queries) ? new Set(queries.filter((one) => one !== "")).size : 0;
  return model !== undefined && /^gemini-[12]\b/.test(model) ? Math.min(asked, 1) : asked;
}

const nameIn = (model: unknown): string | undefined =>
  typeof model === "string" && MODEL_NAME.test(model) ? model : undefined;

function noteTiers(found: Found, said: Json): void {
  found.tiers = { ...found.tiers, ...tiersIn(said) };
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

const objectIn = (json: Json | undefined, key: string): Json | undefined => asObject(json?.[key]);
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

/** Reads the data of events: usually one line, otherwise those up to an empty one. @param onData returns whether that was all. */
function dataOf(onData: (text: string) => boolean): (line: string) => void {
  let rest = "";
  return (line) => {
    if (line === "") {
      if (rest !== "") onData(rest);
      rest = "";
    } else if (line.startsWith("data:")) {
      const text = line.slice(5);
      if (!onData(text) && rest.length < MOST_LINE_BYTES) rest += `${text}\n`;
    }
  };
}

/** Splits events into lines, whatever the chunks. */
function lines(onLine: (line: string) => void): Pick<AnswerReader, "push" | "end"> {
  const decoder = new TextDecoder();
  let rest = "";
  let skips = false;
  const take = (text: string) => {
    // Only what is new is searched: a long line comes in many chunks.
    const [first = "", ...others] = text.split("\n");
    rest += first;
    for (const next of others) {
      if (!skips) onLine(rest.endsWith("\r") ? rest.slice(0, -1) : rest);
      rest = next;
      skips = false;
    }
    if (rest.length > MOST_LINE_BYTES) {
      rest = "";
      skips = true;
    }
  };
  return { push: (chunk) => take(decoder.decode(chunk, { stream: true })), end: () => take("\n\n") };
}

/** @param onEnd `text` is undefined: it is too long. */
function whole(onEnd: (text: string | undefined, size: number) => void): Pick<AnswerReader, "push" | "end"> {
  let parts: Uint8Array[] = [];
  let size = 0;
  return {
    push(chunk) {
      size += chunk.length;
      if (size <= MOST_BODY_BYTES) parts.push(chunk);
      else parts = [];
    },
    end() {
      if (size > 0) onEnd(parts.length > 0 ? Buffer.concat(parts).toString("utf8") : undefined, size);
      parts = [];
    },
  };
}
