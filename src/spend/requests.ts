import type { ModelApi } from "../db/columns.ts";
import { readObject, UnreadableBody } from "./json-object.ts";
import type { CacheWrites } from "./prices.ts";

/** What a request to a model's API asks for, as far as it costs money. */
export interface ModelRequest {
  /** Counts tokens, which costs nothing. */
  isFree: boolean;
  model: string;
  /** The most tokens that it may be answered with. Undefined: as many as the model can. */
  maxOutput: number | undefined;
  /** How many answers it wants. */
  answers: number;
  /** Its input is not all in it: it names files, pages or earlier answers, or lets the API's own tools search. */
  bringsMore: boolean;
  /** The searches of the API's own tools that it may cause. */
  searches: number;
  writes: CacheWrites;
  /** Of its API, as it asks for them. */
  tiers: readonly string[];
}

type Json = Readonly<Record<string, unknown>>;

/** Of a model's name: longer ones are nobody's. */
const MODEL = /^[^\s\p{C}]{1,200}$/u;
/** What APIs allow at most in one turn, unless the request says less. */
const MOST_SEARCHES = 10;
const MOST_TOKENS = 100_000_000;
const MOST_ANSWERS = 128;
/** Far more than the schema of any tool has. */
const MOST_DEPTH = 1_000;

/** @param path of the request, without the query. @throws UnreadableBody */
export function readRequest(api: ModelApi, path: string, body: Uint8Array): ModelRequest {
  const json = readObject(body);
  const found = READERS[api](json, path);
  if (!MODEL.test(found.model)) throw new UnreadableBody('The body\'s "model" must be the name of a model.');
  const seen: Seen = { more: false, searches: 0, writes: "none" };
  lookThrough(json, seen);
  return {
    ...found,
    bringsMore: seen.more || REFERENCES.some((key) => json[key] !== undefined && json[key] !== null),
    searches: seen.searches,
    // OpenAI's API caches what it likes.
    writes: api === "openai" ? "5m" : seen.writes,
  };
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

type Found = Omit<ModelRequest, "bringsMore" | "searches" | "writes">;

/** What is found anywhere in a request. */
interface Seen {
  more: boolean;
  searches: number;
  writes: CacheWrites;
}

const READERS: Readonly<Record<ModelApi, (json: Json, path: string) => Found>> = {
  anthropic: (json, path) => ({
    isFree: path.endsWith("/count_tokens"),
    model: textOf(json["model"]),
    maxOutput: countOf(json["max_tokens"]),
    answers: 1,
    tiers: tiersOf(json["service_tier"], json["speed"], json["inference_geo"]),
  }),
  openai(json) {
    if (![undefined, null, false].includes(json["background"] as undefined))
      throw new UnreadableBody(
        'The body\'s "background" is not available to agents: its answer would never pass here.',
      );
    return {
      isFree: false,
      model: textOf(json["model"]),
      maxOutput: most(json["max_output_tokens"], json["max_completion_tokens"], json["max_tokens"]),
      answers: Math.min(countOf(json["n"]) ?? 1, MOST_ANSWERS),
      tiers: tiersOf(json["service_tier"]),
    };
  },
  google(json, path) {
    const model = /\/models\/([^:/]+):/.exec(path)?.[1] ?? "";
    if (json["model"] !== undefined && textOf(json["model"]).replace(/^models\//, "") !== model)
      throw new UnreadableBody('The body\'s "model" must be the one of the path.');
    const settings = [json["generationConfig"], json["generation_config"]].map(objectOf);
    const all = (...names: readonly string[]) => settings.flatMap((one) => names.map((name) => one?.[name]));
    return {
      isFree: path.endsWith(":countTokens"),
      model,
      maxOutput: most(...all("maxOutputTokens", "max_output_tokens")),
      answers: Math.min(most(...all("candidateCount", "candidate_count")) ?? 1, MOST_ANSWERS),
      tiers: tiersOf(json["serviceTier"], json["service_tier"]),
    };
  },
};

/** Looks for content that is not in the request, and for the API's own tools. What is not known to be all there is not. */
function lookThrough(value: unknown, found: Seen, depth = 0): void {
  if (depth > MOST_DEPTH) throw new UnreadableBody(`The body is nested more than ${MOST_DEPTH} times.`);
  if (Array.isArray(value)) for (const one of value) lookThrough(one, found, depth + 1);
  const json = objectOf(value);
  if (!json) return;
  const type = json["type"];
  if (
    typeof type === "string" &&
    /^(?:web_search|web_fetch|code_execution|file_search|code_interpreter|mcp)/.test(type)
  ) {
    found.more = true;
    found.searches += countOf(json["max_uses"]) ?? MOST_SEARCHES;
  }
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
  return ["googleSearch", "google_search", "urlContext", "url_context", "googleMaps", "google_maps"].some(
    (key) => typeof json[key] === "object",
  );
}

const objectOf = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
/** Some APIs take the text of a number for it. */
function countOf(value: unknown): number | undefined {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && number > 0 ? Math.min(Math.ceil(number), MOST_TOKENS) : undefined;
}
function most(...values: readonly unknown[]): number | undefined {
  const counts = values.map(countOf).filter((one) => one !== undefined);
  return counts.length > 0 ? Math.max(...counts) : undefined;
}
const tiersOf = (...values: readonly unknown[]): string[] =>
  values.filter((one): one is string => typeof one === "string").map((one) => one.toLowerCase().slice(0, 50));
