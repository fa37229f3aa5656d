import type { ModelApi } from "../db/columns.ts";
import { asObject, textOf } from "../shared/json.ts";
import { readObject, UnreadableBody } from "./json-object.ts";
import type { CacheWrites } from "./prices.ts";

/** What a request to a model's API asks for, as far as it costs money. */
export interface ModelRequest {
  /** Counts tokens, which costs nothing. */
  isFree: boolean;
  /** Its answer comes as it grows. */
  isStreamed: boolean;
  /** A hash of how its conversation begins. Empty: it has none. */
  conversation: string;
  model: string;
  /** The most tokens that it may be answered with. Undefined: as many as the model can. */
  maxOutput: number | undefined;
  /** How many answers it wants. */
  answers: number;
  /** Its input is not all in it: it names files, pages or earlier answers, or lets the API's own tools search. */
  bringsMore: boolean;
  /** Tokens that its pictures may have beyond their bytes. */
  pictures: number;
  /** The searches of the API's own tools that it may cause. */
  searches: number;
  writes: CacheWrites;
  /** Of its API, as it asks for them, by what they are about. */
  tiers: Tiers;
  /** Models that may be used besides, and how often: to advise, or to answer instead. */
  others: readonly { model: string; uses: number }[];
}

/** Such as its speed; lower case. */
export type Tiers = Readonly<Record<string, string>>;

type Json = Readonly<Record<string, unknown>>;

/** Of a model's name: longer ones are nobody's, and no database keeps all characters. */
export const MODEL_NAME = /^[^\s\p{C}]{1,200}$/u;
/** What APIs allow at most in one turn, unless the request says less. */
const MOST_SEARCHES = 10;
/** What APIs take for a picture at most, however few bytes it has. */
const PICTURE_TOKENS = 10_000;
const MOST_TOKENS = 100_000_000;
const MOST_ANSWERS = 128;
/** Far more than the schema of any tool has. */
const MOST_DEPTH = 1_000;

/** @param path of the request, without the query. @throws UnreadableBody */
export function readRequest(api: ModelApi, path: string, body: Uint8Array): ModelRequest {
  const json = readObject(body);
  const found = READERS[api](json, path);
  if (!MODEL_NAME.test(found.model))
    throw new UnreadableBody('The body\'s "model" must be the name of a model.');
  const others = [json["fallbacks"], json["models"]].flatMap(modelsIn);
  const { model } = found;
  const seen: Seen = { model, more: false, pictures: 0, searches: 0, writes: "none", others };
  lookThrough(json, seen);
  const { pictures, searches } = seen;
  return {
    ...found,
    ...{ pictures, searches, others, conversation: beginningOf(json) },
    bringsMore: seen.more || REFERENCES.some((key) => json[key] !== undefined && json[key] !== null),
    // OpenAI's API caches what it likes.
    writes: api === "openai" ? "5m" : seen.writes,
  };
}

/** Its first message of a user; what is to be cached is said now at one, now at another. */
function beginningOf(json: Json): string {
  const messages = [json["messages"], json["input"], json["contents"]].find(Array.isArray) ?? [];
  const first = messages.find((one: unknown) => asObject(one)?.["role"] === "user");
  if (first === undefined) return "";
  const text = JSON.stringify(first, (key, value) => (key === "cache_control" ? undefined : value));
  return Bun.hash(text).toString(36);
}

/** Keys of a request that stand for input which the API has already. */
const REFERENCES = [
  "previous_response_id",
  "conversation",
  "prompt",
  "container",
  "mcp_servers",
  "cachedContent",
  "cached_content",
];

type Found = Omit<
  ModelRequest,
  "bringsMore" | "pictures" | "searches" | "writes" | "others" | "conversation"
>;

/** What is found anywhere in a request. */
interface Seen {
  model: string;
  more: boolean;
  pictures: number;
  searches: number;
  writes: CacheWrites;
  others: { model: string; uses: number }[];
}

const READERS: Readonly<Record<ModelApi, (json: Json, path: string) => Found>> = {
  anthropic: (json, path) => ({
    isFree: path.endsWith("/count_tokens"),
    isStreamed: json["stream"] === true,
    model: textOf(json["model"]),
    maxOutput: countOf(json["max_tokens"]),
    answers: 1,
    tiers: tiersIn(json),
  }),
  openai(json, path) {
    if (![undefined, null, false].includes(json["background"] as undefined))
      throw new UnreadableBody(
        'The body\'s "background" is not available to agents: its answer would never pass here.',
      );
    return {
      isFree: false,
      isStreamed: json["stream"] === true,
      model: textOf(json["model"]),
      // What this path does not know may be ignored by the API.
      maxOutput: path.endsWith("/chat/completions")
        ? most(json["max_completion_tokens"], json["max_tokens"])
        : countOf(json["max_output_tokens"]),
      answers: Math.min(countOf(json["n"]) ?? 1, MOST_ANSWERS),
      tiers: tiersIn(json),
    };
  },
  google(json, path) {
    const model = /\/models\/([^:/]+):/.exec(path)?.[1] ?? "";
    if (json["model"] !== undefined && textOf(json["model"]).replace(/^models\//, "") !== model)
      throw new UnreadableBody('The body\'s "model" must be the one of the path.');
    const settings = [json["generationConfig"], json["generation_config"]].map(asObject);
    const all = (...names: readonly string[]) => settings.flatMap((one) => names.map((name) => one?.[name]));
    return {
      isFree: path.endsWith(":countTokens"),
      isStreamed: path.endsWith(":streamGenerateContent"),
      model,
      maxOutput: most(...all("maxOutputTokens", "max_output_tokens")),
      answers: Math.min(most(...all("candidateCount", "candidate_count")) ?? 1, MOST_ANSWERS),
      tiers: tiersIn({ service_tier: json["serviceTier"] ?? json["service_tier"] }),
    };
  },
};

/** Looks for content that is not in the request, and for the API's own tools. What is not known to be all there is not. */
function lookThrough(value: unknown, found: Seen, depth = 0): void {
  if (depth > MOST_DEPTH) throw new UnreadableBody(`The body is nested more than ${MOST_DEPTH} times.`);
  if (Array.isArray(value)) for (const one of value) lookThrough(one, found, depth + 1);
  const json = asObject(value);
  if (!json) return;
  const type = textOf(json["type"]);
  if (/^(?:web_search|web_fetch|code_execution|file_search|code_interpreter|mcp)/.test(type)) {
    found.more = true;
    found.searches += countOf(json["max_uses"]) ?? MOST_SEARCHES;
  }
  if (SEARCHES.some((key) => asObject(json[key]))) {
    found.more = true;
    found.searches += MOST_SEARCHES;
  }
  if (type.startsWith("advisor") && json["model"] !== undefined)
    found.others.push({ model: textOf(json["model"]), uses: countOf(json["max_uses"]) ?? 1 });
  // The API may first have the model shorten the conversation.
  if (type.startsWith("compact_")) found.others.push({ model: found.model, uses: 1 });
  const picture = pictureIn(json);
  if (picture !== undefined) found.pictures += Math.max(0, PICTURE_TOKENS - picture);
  if (isReference(json)) found.more = true;
  if (json["ttl"] === "1h") found.writes = "1h";
  else if (json["cache_control"] !== undefined && found.writes === "none") found.writes = "5m";
  for (const one of Object.values(json)) if (typeof one === "object") lookThrough(one, found, depth + 1);
}

function isReference(json: Json): boolean {
  const kind = json["media_type"] ?? json["mimeType"] ?? json["mime_type"];
  // Pages of a document are pictures, too: there are more tokens than bytes.
  if (typeof kind === "string" && !/^(?:image|text)\//.test(kind)) return true;
  const has = (key: string) => typeof json[key] === "string";
  if (has("file_id") || has("file_url") || has("fileUri") || has("file_uri") || has("file_data")) return true;
  if (json["type"] === "url" && has("url")) return true;
  return BRINGING.some((key) => asObject(json[key]));
}

/** Tools of APIs, by their keys: those that search, and others whose results are input. */
const SEARCHES = ["googleSearch", "google_search", "web_search_options"];
const BRINGING = [
  ...["urlContext", "url_context", "googleMaps", "google_maps"],
  ...["codeExecution", "code_execution", "fileSearch", "file_search"],
];

/** The length of what describes a picture, if this object is one. */
function pictureIn(json: Json): number | undefined {
  const kind = textOf(json["media_type"] ?? json["mimeType"] ?? json["mime_type"]);
  if (kind.startsWith("image/")) return textOf(json["data"]).length;
  const url = asObject(json["image_url"])?.["url"] ?? json["image_url"];
  return typeof url === "string" ? url.length : undefined;
}

/** Of a list of names, or of objects with them; a word says that the API chooses by itself. */
function modelsIn(list: unknown): { model: string; uses: number }[] {
  if (list === undefined || list === null || typeof list === "string") return [];
  const models = Array.isArray(list) ? list.map((one) => textOf(asObject(one)?.["model"] ?? one)) : [""];
  if (models.every((model) => MODEL_NAME.test(model))) return models.map((model) => ({ model, uses: 1 }));
  throw new UnreadableBody('The body\'s "fallbacks" must be a list of models.');
}

/** Some APIs take the text of a number for it. */
function countOf(value: unknown): number | undefined {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && number > 0 ? Math.min(Math.ceil(number), MOST_TOKENS) : undefined;
}
function most(...values: readonly unknown[]): number | undefined {
  const counts = values.map(countOf).filter((one) => one !== undefined);
  return counts.length > 0 ? Math.max(...counts) : undefined;
}

/** What a request, or the usage of an answer, says of where and how fast it is worked on. */
export function tiersIn(json: Json): Tiers {
  const named = ["service_tier", "speed", "inference_geo"].map((key) => [key, textOf(json[key])] as const);
  return Object.fromEntries(
    named.filter(([, tier]) => tier !== "").map(([key, tier]) => [key, tier.toLowerCase().slice(0, 50)]),
  );
}
