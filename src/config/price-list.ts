import { readFileSync, statSync } from "node:fs";
import { isObject } from "../shared/json.ts";
import { isDay } from "../shared/time.ts";
import { ConfigMistake } from "./mistakes.ts";
import type { Parse } from "./parsers.ts";

/** What tokens cost, US dollars for a million of them. */
export interface Rates {
  input: number;
  output: number;
  /** Read from a cache. Default: as other input. */
  cache_read?: number;
  /** Written to a cache, for five minutes or as long as the API keeps it. Default: as other input. */
  cache_write?: number;
  /** Written to a cache for an hour. Default: as `cache_write`. */
  cache_write_1h?: number;
}

/** An entry of the price table, as in the file of MODEL_PRICES. */
export interface ModelPrice extends Rates {
  /** As its API names it, without the date of a snapshot. */
  model: string;
  /** The first day on which it is valid, such as 2026-11-01. Default: always. */
  from?: string;
  /** For all tokens of a call that has more input than `above` tokens. */
  long?: Rates & { above: number };
  /** What a call in a tier of its API costs, as a multiple. */
  tiers?: Readonly<Record<string, number>>;
  /** One search with the API's own tool, US dollars. Default: 0. */
  web_search?: number;
  /** The most input of one call, tokens. */
  context: number;
  /** The most output of one call, tokens. */
  max_output: number;
}

/** Nobody's table is larger, and it is read at each start. */
const MOST_BYTES = 1024 * 1024;
/** Of those that are reported together. */
const MOST_MISTAKES = 20;
/** The dearest call must be a number that the database can keep. */
const MOST_USD = 10_000;
const MOST_TOKENS = 100_000_000;
const MOST_FACTOR = 100;

type Check = (value: unknown) => string | undefined;

const amount =
  (most: number): Check =>
  (value) =>
    typeof value === "number" && value >= 0 && value <= most
      ? undefined
      : `is not a number from 0 to ${most}`;
const count: Check = (value) =>
  Number.isSafeInteger(value) && Number(value) > 0 && Number(value) <= MOST_TOKENS
    ? undefined
    : `is not a whole number of tokens from 1 to ${MOST_TOKENS}`;
const usd = amount(MOST_USD);

const RATES: Readonly<Record<string, Check>> = {
  ...{ input: usd, output: usd, cache_read: usd, cache_write: usd, cache_write_1h: usd },
};
const ENTRY: Readonly<Record<string, Check>> = {
  ...RATES,
  model: (value) =>
    typeof value === "string" && /^\S{1,200}$/.test(value) ? undefined : "is not a model's name",
  from: (value) =>
    typeof value === "string" && isDay(value) ? undefined : "is not a day such as 2026-11-01",
  long: (value) => mistakesIn(value, { ...RATES, above: count }, ["above", "input", "output"])[0],
  tiers: (value) =>
    isObject(value) && Object.values(value).every((one) => amount(MOST_FACTOR)(one) === undefined)
      ? undefined
      : `is not an object of tiers and their factors, numbers from 0 to ${MOST_FACTOR}`,
  web_search: usd,
  context: count,
  max_output: count,
};
const REQUIRED = ["model", "input", "output", "context", "max_output"] as const;

/** What is wrong with an object of these keys; each the rest of a sentence about it. */
function mistakesIn(
  value: unknown,
  keys: Readonly<Record<string, Check>>,
  required: readonly string[],
): string[] {
  if (!isObject(value)) return [`is not an object with ${required.join(", ")}`];
  const unknown = Object.keys(value).filter((key) => !Object.hasOwn(keys, key));
  return [
    ...unknown.map((key) => `has the unknown key ${JSON.stringify(key.slice(0, 50))}`),
    ...required.filter((key) => value[key] === undefined).map((key) => `has no ${key}`),
    ...Object.entries(keys).flatMap(([key, check]) => {
      const wrong = value[key] === undefined ? undefined : check(value[key]);
      return wrong === undefined ? [] : [`has a value of ${key} that ${wrong}`];
    }),
  ];
}

/** The entries of a file: a JSON array of what models cost. All of its mistakes are reported, each by the name of its model. */
export const priceList: Parse<readonly ModelPrice[]> = (path) => {
  const entries = entriesOf(path);
  const seen = new Set<string>();
  const mistakes = entries.flatMap((entry, index) => {
    const model = isObject(entry) && typeof entry["model"] === "string" ? entry["model"] : undefined;
    const name = model === undefined ? `entry ${index + 1}` : JSON.stringify(model.slice(0, 100));
    const { from = "" } = isObject(entry) ? entry : {};
    const isRepeated = model !== undefined && seen.size === seen.add(`${model} ${from}`).size;
    return [
      ...mistakesIn(entry, ENTRY, REQUIRED).map((mistake) => `${name} ${mistake}`),
      ...(isRepeated ? [`${name} is there more than once, with the same day in from`] : []),
    ];
  });
  if (mistakes.length > 0) {
    const others = mistakes.length - MOST_MISTAKES;
    const more = others > 0 ? `; and ${others} more mistakes` : "";
    const list = mistakes.slice(0, MOST_MISTAKES).join("; ");
    throw new ConfigMistake("config_invalid_prices", `names a file in which ${list}${more}`);
  }
  return entries as ModelPrice[];
};

function entriesOf(path: string): unknown[] {
  const text = textOf(path);
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list)) return list;
  } catch {
    // Said below.
  }
  throw new ConfigMistake(
    "config_invalid_prices",
    'must name a file with a JSON array such as [{"model":"mine","input":3,"output":15,"context":200000,"max_output":32000}]',
  );
}

function textOf(path: string): string {
  const mistake = (text: string) => new ConfigMistake("config_invalid_prices", text);
  try {
    const file = statSync(path);
    // A pipe would be waited for.
    if (file.isFile() && file.size <= MOST_BYTES) return readFileSync(path, "utf8");
  } catch {
    throw mistake("must be the path of a file that can be read");
  }
  throw mistake("must be the path of a file of at most 1 MB");
}
