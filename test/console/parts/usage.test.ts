import { describe, expect, test } from "bun:test";
import { daysOf, eachDay, readUsageSearch, type UsageSearch } from "../../../src/console/usage/address.ts";
import { roundUp } from "../../../src/console/usage/figures.ts";

const USUAL = { by: "repo", measure: "cost", scope: "own" } as const;
const NOON = Date.parse("2026-03-01T12:00:00Z");

describe("the address of the usage page", () => {
  test.each([
    [{}, { days: 30 }],
    [
      { days: 7, by: "model", measure: "tokens" },
      { days: 7, by: "model", measure: "tokens" },
    ],
    [{ days: "7" }, { days: 30 }],
    [
      { from: "2026-01-31", to: "2026-02-01", days: 7 },
      { from: "2026-01-31", to: "2026-02-01" },
    ],
    [{ from: "2026-02-30", to: "2026-03-01" }, { days: 30 }],
    [{ from: "2026-01-01" }, { days: 30 }],
    [{ from: 20260101, to: ["2026-01-02"], by: "__proto__", scope: {} }, { days: 30 }],
    [{ by: "user" }, { days: 30 }],
    [
      { by: "user", scope: "all" },
      { days: 30, by: "user", scope: "all" },
    ],
  ])("%j means %j", (search, meant) => {
    expect(readUsageSearch(search)).toEqual({ ...USUAL, ...meant } as UsageSearch);
  });

  test("what it does not mean it takes out of the address, which the router would keep", () => {
    const search = readUsageSearch({ from: "2026-02-30", to: "2026-03-01" });
    expect(Object.keys(search)).toContain("from");
    expect({ from: "2026-02-30", ...search }.from).toBeUndefined();
    expect(daysOf(search, NOON)).toEqual({ from: "2026-01-31", to: "2026-03-01" });
  });

  test("the last days are those of UTC, today among them", () => {
    const days = daysOf(readUsageSearch({ days: 7 }), NOON);
    expect(days).toEqual({ from: "2026-02-23", to: "2026-03-01" });
    expect(eachDay(days)).toHaveLength(7);
    expect(eachDay({ from: "2026-02-27", to: "2026-03-01" })).toEqual([
      ...["2026-02-27", "2026-02-28", "2026-03-01"],
    ]);
    expect(eachDay({ from: "2026-03-02", to: "2026-03-01" })).toEqual([]);
  });
});

test("a scale ends with a round number that no bar passes", () => {
  for (const [most, top] of [
    [0, 1],
    [0.004, 0.005],
    [1, 1],
    [1.01, 2],
    [4.99, 5],
    [7, 10],
    [123_456, 200_000],
  ] as const)
    expect(roundUp([0, most])).toBeCloseTo(top, 10);
});
