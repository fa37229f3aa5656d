import type { ModelPrice, Rates } from "../config/price-list.ts";
import defaultPrices from "./default-prices.json" with { type: "json" };
import { MOST_COST, NANO } from "./money.ts";

/** What was used in one call. */
export interface Tokens {
  /** Neither read from nor written to a cache. */
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  cacheWrite1h: number;
  webSearches: number;
}

export const NO_TOKENS: Readonly<Tokens> = {
  ...{ input: 0, output: 0, cacheRead: 0, cacheWrite: 0, cacheWrite1h: 0, webSearches: 0 },
};

export const addTokens = (one: Tokens, other: Tokens): Tokens => ({
  ...{ input: one.input + other.input, output: one.output + other.output },
  ...{ cacheRead: one.cacheRead + other.cacheRead, cacheWrite: one.cacheWrite + other.cacheWrite },
  cacheWrite1h: one.cacheWrite1h + other.cacheWrite1h,
  webSearches: one.webSearches + other.webSearches,
});

export interface Prices {
  /** @returns undefined: the model is in no table, and must not be used. */
  of(model: string, day: Date): ModelPrice | undefined;
  /** Whether a table has it; others may be used, and count as the dearest. */
  knows(model: string): boolean;
  /** The model's name in the table, for a label of a metric; "other": it is in none. */
  label(model: string): string;
}

/** The day of the built-in table. */
export const BUILT_IN_DAY = "2026-11-29";
/**
 * What models cost, collected on that day from the table of LiteLLM 1.110.2, which cites the price pages of the vendors (of models
 * before Claude 4.5, from Anthropic's own page).
 */
const BUILT_IN: readonly ModelPrice[] = defaultPrices;

/** Such as -20260205, -2026-02-05, @20260205, -latest. */
const SNAPSHOT = /(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)|-preview)$/;

/**
 * The price table: the built-in one, in which the operator's entries replace all those of the same model.
 * @param options.unknown `dearest`: a model that is in neither counts as if it had the highest of all prices.
 */
export function openPrices(options: { own: readonly ModelPrice[]; unknown: "refuse" | "dearest" }): Prices {
  const own = new Set(options.own.map(({ model }) => model));
  const all = [...BUILT_IN.filter(({ model }) => !own.has(model)), ...options.own];
  const byModel = Map.groupBy(all, ({ model }) => model);
  const dearest = options.unknown === "dearest" ? dearestOf(all) : undefined;
  const named = (model: string) => [model, model.replace(SNAPSHOT, "")].find((name) => byModel.has(name));
  return {
    of(model, day) {
      const name = named(model);
      return name === undefined ? dearest : validOn(day, byModel.get(name) ?? []);
    },
    knows: (model) => named(model) !== undefined,
    label: (model) => named(model) ?? "other",
  };
}

/** The newest of a model's prices that is valid on a day; before all of them, the first. */
function validOn(day: Date, prices: readonly ModelPrice[]): ModelPrice | undefined {
  const date = day.toISOString().slice(0, 10);
  const sorted = prices.toSorted((one, other) => ((one.from ?? "") < (other.from ?? "") ? -1 : 1));
  return sorted.findLast(({ from = "" }) => from <= date) ?? sorted[0];
}

function dearestOf(prices: readonly ModelPrice[]): ModelPrice {
  const rates = prices.flatMap(({ long, ...usual }) => [usual, ...(long ? [long] : [])]).map(complete);
  const highest = (kind: keyof Rates) => Math.max(...rates.map((one) => one[kind]));
  const most = (kind: "web_search" | "context" | "max_output") =>
    Math.max(...prices.map((price) => price[kind] ?? 0));
  return {
    model: "other",
    ...{ input: highest("input"), output: highest("output"), cache_read: highest("cache_read") },
    ...{ cache_write: highest("cache_write"), cache_write_1h: highest("cache_write_1h") },
    ...{ web_search: most("web_search"), context: most("context"), max_output: most("max_output") },
    // Of a tier that is not named, this is taken.
    tiers: { dearest: Math.max(1, ...prices.flatMap(({ tiers = {} }) => Object.values(tiers))) },
  };
}

function complete(rates: Rates): Required<Rates> {
  const { input, output, cache_read = input, cache_write = input, cache_write_1h = cache_write } = rates;
  return { input, output, cache_read, cache_write, cache_write_1h };
}

/** What APIs call a call that costs what the table says; `auto` is what the operator's account has. */
const USUAL: ReadonlySet<string> = new Set([
  ...["standard", "standard_only", "default", "auto", "global", "not_available"],
]);

/** Of a tier that the table does not name: the highest that it does, and never less than the usual price. */
const factorOf = ({ tiers = {} }: ModelPrice, tier: string | undefined): number =>
  tier === undefined || USUAL.has(tier)
    ? 1
    : ((Object.hasOwn(tiers, tier) ? tiers[tier] : undefined) ?? Math.max(1, ...Object.values(tiers)));

/** What a call costs, in billionths of a US dollar, rounded up. @param tiers those of its API that it was in. */
export function costOf(price: ModelPrice, tokens: Tokens, tiers: readonly string[] = []): number {
  const { input, output, cacheRead, cacheWrite, cacheWrite1h, webSearches } = tokens;
  const all = input + cacheRead + cacheWrite + cacheWrite1h;
  const rates = complete(price.long && all > price.long.above ? price.long : price);
  const millionths =
    input * rates.input +
    output * rates.output +
    cacheRead * rates.cache_read +
    cacheWrite * rates.cache_write +
    cacheWrite1h * rates.cache_write_1h;
  const factor = tiers.reduce((product, tier) => product * factorOf(price, tier), 1);
  const exact = millionths * 1000 * factor + webSearches * (price.web_search ?? 0) * NANO;
  // The error of doubles must not become a whole one.
  return Math.min(Math.ceil(Number(exact.toFixed(6))), MOST_COST);
}

/** The caches that a request may write to. */
export type CacheWrites = "none" | "5m" | "1h";

/**
 * The most that a call can cost, in billionths of a US dollar: all of its input at the highest of the prices that it may have, and
 * all of the output that it may have.
 */
export function worstCost(
  price: ModelPrice,
  call: { input: number; output: number; writes: CacheWrites; searches: number; tiers: readonly string[] },
): number {
  const { input, output, writes, searches, tiers } = call;
  const kinds: (keyof Tokens)[] = ["input"];
  if (writes !== "none") kinds.push("cacheWrite");
  if (writes === "1h") kinds.push("cacheWrite1h");
  return Math.max(
    ...kinds.map((kind) =>
      costOf(price, { ...NO_TOKENS, output, webSearches: searches, [kind]: input }, tiers),
    ),
  );
}
