import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { NANO } from "../../src/spend/money.ts";
import { BUILT_IN_DAY, costOf, NO_TOKENS, openPrices, worstCost } from "../../src/spend/prices.ts";
import { ROOT } from "./guide.ts";

const guide = await Bun.file(join(ROOT, "docs/COSTS.md")).text();

test("the price file of docs/COSTS.md is accepted, and what its example costs is so", async () => {
  const [, example = ""] = /```json\n(\[[\s\S]*?\n\])\n```/.exec(guide) ?? [];
  const folder = await mkdtemp(join(tmpdir(), "pb-prices-"));
  const path = join(folder, "prices.json");
  await Bun.write(path, example);
  const { prices: own = [] } = readConfig({ MODEL_PRICES: path }).spending;
  await rm(folder, { recursive: true });
  expect(own.length).toBeGreaterThan(3);
  const prices = openPrices({ own, unknown: "dearest" });
  const tokens = { ...NO_TOKENS, input: 1_200, cacheRead: 40_000, cacheWrite: 3_000, output: 1_600 };
  const costs = ["2026-12-01", "2027-01-01"].map((day) => {
    const price = prices.of("claude-sonnet-5", new Date(day));
    return price && costOf(price, tokens) / NANO;
  });
  const said =
    /costs 0\.0024 \+ 0\.008 \+ 0\.0075 \+ 0\.016 = \$([\d.]+); with the entry of 2027, \$([\d.]+\d)/;
  expect(said.exec(guide)?.slice(1).map(Number)).toEqual(costs as number[]);
});

test("docs/COSTS.md says the day of the built-in table, what unknown models count as, and the example of a worst case", () => {
  expect(guide).toContain(`It was collected on ${BUILT_IN_DAY}`);
  const dearest = openPrices({ own: [], unknown: "dearest" }).of("nobody-1", new Date());
  expect(guide).toContain(`($${dearest?.input} for input, $${dearest?.output} for output)`);
  const price = { model: "m", input: 0, output: 15, context: 1_000_000, max_output: 128_000 };
  const worst = worstCost(price, { input: 0, output: 32_000, writes: "none", searches: 0, tiers: [] });
  expect(guide).toContain(`32,000 tokens at $15 a million is $${worst / NANO}:`);
});
