import { describe, expect, test } from "bun:test";
import { costOf, NO_TOKENS, openPrices, worstCost } from "../../src/spend/prices.ts";

const DAY = new Date("2026-11-29T12:00:00Z");
const built = openPrices({ own: [], unknown: "refuse" });
const mine = { model: "mine", input: 3, output: 15, context: 1000, max_output: 100 };

describe("the price table", () => {
  test("a model is found by its name, with or without the date of a snapshot", () => {
    for (const model of ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-latest"])
      expect(built.of(model, DAY)?.model).toBe("claude-sonnet-4-5");
    expect(built.of("gpt-5.4-2026-03-05", DAY)?.model).toBe("gpt-5.4");
    expect(built.of("gemini-3.1-pro-preview", DAY)?.model).toBe("gemini-3.1-pro");
  });

  test("an unknown model is refused, or counts as the dearest", () => {
    expect(built.of("gpt-99", DAY)).toBeUndefined();
    expect(built.label("gpt-99")).toBe("other");
    const lenient = openPrices({ own: [{ ...mine, output: 100_000 }], unknown: "dearest" });
    const price = lenient.of("gpt-99", DAY);
    expect(price?.output).toBe(100_000);
    expect(price?.input).toBeGreaterThan(3);
    expect(lenient.knows("gpt-99")).toBe(false);
    // Cause: the dearest had no tiers, and so the usual price in each.
    const usual = price && costOf(price, { ...NO_TOKENS, output: 1000 });
    expect(usual && price && costOf(price, { ...NO_TOKENS, output: 1000 }, ["priority"]) / usual).toBe(2.5);
  });

  test("a snapshot that has a price of its own has that", () => {
    expect(built.of("gpt-4o-2024-08-06", DAY)?.input).toBe(2.5);
    expect(built.of("gpt-4o-2024-05-13", DAY)?.input).toBe(5);
  });

  test("an operator's entry replaces all of the same model; which one is valid depends on the day", () => {
    const prices = openPrices({
      own: [
        { ...mine, model: "claude-sonnet-5", input: 7, from: "2026-12-01" },
        { ...mine, model: "claude-sonnet-5", input: 1 },
      ],
      unknown: "refuse",
    });
    expect(prices.of("claude-sonnet-5", DAY)?.input).toBe(1);
    expect(prices.of("claude-sonnet-5", new Date("2026-12-01T00:00:00Z"))?.input).toBe(7);
  });

  test("built-in entries are of a sound form", () => {
    for (const model of ["claude-opus-5-5", "gpt-6-sol", "gemini-2.5-pro"]) {
      const price = built.of(model, DAY);
      expect(price?.input).toBeGreaterThan(0);
      expect(price?.cache_read).toBeLessThan(price?.input ?? 0);
    }
  });
});

describe("costs", () => {
  const price = built.of("claude-sonnet-4-5", DAY);
  if (!price) throw new Error("no price");

  test("each kind of token has its price, in billionths of a dollar", () => {
    const tokens = {
      input: 1,
      output: 10,
      cacheRead: 100,
      cacheWrite: 1000,
      cacheWrite1h: 10_000,
      webSearches: 0,
    };
    expect(costOf(price, tokens)).toBe(3_000 + 150_000 + 30_000 + 3_750_000 + 60_000_000);
    expect(costOf(price, { ...NO_TOKENS, webSearches: 3 })).toBe(30_000_000);
  });

  test("a long call has other prices for all of its tokens; a tier is a multiple", () => {
    const long = built.of("gemini-2.5-pro", DAY);
    if (!long) throw new Error("no price");
    expect(costOf(long, { ...NO_TOKENS, input: 200_000 })).toBe(250_000_000);
    expect(costOf(long, { ...NO_TOKENS, input: 200_001 })).toBe(500_002_500);
    expect(costOf({ ...price, tiers: { priority: 2 } }, { ...NO_TOKENS, input: 10 }, ["priority"])).toBe(
      60_000,
    );
    expect(costOf({ ...price, tiers: { priority: 2 } }, { ...NO_TOKENS, input: 10 }, ["new-tier"])).toBe(
      60_000,
    );
    expect(costOf({ ...price, tiers: { flex: 0.5 } }, { ...NO_TOKENS, input: 10 }, ["standard"])).toBe(
      30_000,
    );
  });

  test("part of a billionth is rounded up, but not the error of a double", () => {
    expect(costOf({ ...mine, input: 0.0000001 }, { ...NO_TOKENS, input: 1 })).toBe(1);
    expect(costOf({ ...mine, input: 0.1 }, { ...NO_TOKENS, input: 3 })).toBe(300);
  });

  /** Cause: a cost that the database cannot keep could never be stored, nor could those of the calls that were lost with it. */
  test("what no call costs is cut", () => {
    const dear = { ...mine, output: 10_000, web_search: 10_000 };
    expect(costOf(dear, { ...NO_TOKENS, output: 1e9, webSearches: 1e9 }, [])).toBe(1e14);
  });

  test("the worst is that all input is written to the dearest of the caches that the request may write to", () => {
    const call = { input: 100, output: 10, searches: 0, tiers: [] };
    expect(worstCost(price, { ...call, writes: "none" })).toBe(300_000 + 150_000);
    expect(worstCost(price, { ...call, writes: "5m" })).toBe(375_000 + 150_000);
    expect(worstCost(price, { ...call, writes: "1h" })).toBe(600_000 + 150_000);
  });
});
