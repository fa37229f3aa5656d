import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { problemsOf } from "./problems.ts";

const BUDGETS = {
  run: "BUDGET_USD_PER_RUN",
  session: "BUDGET_USD_PER_SESSION",
  user_day: "BUDGET_USD_PER_USER_DAY",
  user_month: "BUDGET_USD_PER_USER_MONTH",
  deployment_day: "BUDGET_USD_PER_DEPLOYMENT_DAY",
} as const;

describe("budgets", () => {
  test("are unset by default: any amount", () => {
    const { spending } = readConfig({});
    for (const scope of Object.keys(BUDGETS) as (keyof typeof BUDGETS)[])
      expect([scope, spending.budgets[scope]]).toEqual([scope, undefined]);
    expect(spending).toMatchObject({ maxCalls: 2000, callsAtATime: 200, unknownModels: "dearest" });
  });

  for (const [scope, env] of Object.entries(BUDGETS) as [keyof typeof BUDGETS, string][]) {
    test.each([
      ["5", 5_000_000_000],
      ["0.50", 500_000_000],
      ["0.000000001", 1],
      ["0", 0],
      ["1000000", 1e15],
      // Nothing is lost between text, doubles and billionths.
      ["1.005", 1_005_000_000],
      ["999999.999999999", 999_999_999_999_999],
    ])(`${env}=%s`, (text, nano) => {
      expect(readConfig({ [env]: text }).spending.budgets[scope]).toBe(nano);
    });

    test.each([
      ...["-1", "NaN", "Infinity", "1e400", "1e3", "$5", "5 USD", "1,5", "1,000", "1000000.01", "99999999"],
      ...[".5", "5.", "0.0000000001", "0x10", "five"],
    ])(`${env}=%s is no amount`, (text) => {
      expect(problemsOf({ [env]: text })).toEqual([
        `  ${env}: must be an amount of US dollars from 0 to 1000000, such as 5 or 0.50, not ${JSON.stringify(text)} (config_invalid_amount)`,
      ]);
    });
  }
});

test.each([
  ["RUN_MAX_MODEL_CALLS", "0", "config_invalid_integer"],
  ["RUN_MAX_MODEL_CALLS", "1000001", "config_invalid_integer"],
  ["MODEL_CALLS_AT_A_TIME", "0", "config_invalid_integer"],
  ["MODEL_CALLS_AT_A_TIME", "many", "config_invalid_integer"],
  ["RETENTION_MODEL_CALLS_DAYS", "-1", "config_invalid_integer"],
  ["MODEL_PRICES_UNKNOWN", "refused", "config_invalid_choice"],
])("%s=%s is refused", (env, value, code) => {
  const problems = problemsOf({ [env]: value });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith(`  ${env}: `);
  expect(problems[0]).toEndWith(`(${code})`);
});

describe("MODEL_PRICES", () => {
  const MINE = { model: "mine", input: 3, output: 15, context: 200_000, max_output: 32_000 };

  function withFile<T>(content: string | undefined, use: (path: string) => T): T {
    const folder = mkdtempSync(join(tmpdir(), "prices-"));
    const path = join(folder, "prices.json");
    try {
      if (content !== undefined) writeFileSync(path, content);
      return use(path);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const problems = (content: string | undefined) =>
    withFile(content, (path) => problemsOf({ MODEL_PRICES: path }));

  test("has entries beside the built-in ones", () => {
    const full = {
      ...{ ...MINE, from: "2026-11-01", cache_read: 0.3, cache_write: 3.75, cache_write_1h: 6 },
      ...{ long: { above: 200_000, input: 6, output: 22.5 }, tiers: { priority: 2 }, web_search: 0.01 },
    };
    const { spending } = withFile(JSON.stringify([MINE, full]), (path) => readConfig({ MODEL_PRICES: path }));
    expect(spending.prices as unknown).toEqual([MINE, full]);
  });

  test("all mistakes are reported together, by the name of the model", () => {
    const [problem = "", ...others] = problems(
      JSON.stringify([
        { ...MINE, inputs: 3 },
        { ...MINE, model: "other", output: -1 },
        { ...MINE, model: "another", from: "2026-02-30" },
        { ...MINE, model: "late", from: "2026-11-30T10:00:00Z" },
        { ...MINE, model: "long", long: { input: 3, output: 5 } },
        { ...MINE, model: "tiers", tiers: { fast: -1 } },
        { ...MINE, model: "context", context: 1.5 },
        { ...MINE, model: "text", input: "3" },
        { model: "bare" },
        MINE,
        5,
      ]),
    );
    expect(others).toEqual([]);
    for (const mistake of [
      '"mine" has the unknown key "inputs"',
      '"other" has a value of output that is not a number from 0 to 10000',
      '"another" has a value of from that is not a day such as 2026-11-01',
      '"late" has a value of from that is not a day',
      '"long" has a value of long that has no above',
      '"tiers" has a value of tiers that is not an object of tiers',
      '"context" has a value of context that is not a whole number of tokens',
      '"text" has a value of input that is not a number',
      '"bare" has no input; "bare" has no output; "bare" has no context',
      '"mine" is there more than once, with the same day in from',
      "entry 11 is not an object with model",
    ])
      expect(problem).toContain(mistake);
    expect(problem).toStartWith("  MODEL_PRICES: names a file in which ");
    expect(problem).toEndWith("(config_invalid_prices)");
  });

  test("the same model with other days is there more than once", () => {
    const list = JSON.stringify([MINE, { ...MINE, from: "2026-11-01" }, { ...MINE, from: "2026-12-01" }]);
    expect(problems(list)).toEqual([]);
    expect(problems(JSON.stringify([MINE, { ...MINE, from: "2026-11-01" }, MINE]))[0]).toContain(
      "more than once",
    );
  });

  test("a price beyond all numbers is none", () => {
    expect(problems(JSON.stringify([MINE]).replace('"input":3', '"input":1e400'))[0]).toContain(
      '"mine" has a value of input that is not a number from 0 to 10000',
    );
  });

  test("of a file that is wrong throughout, the first mistakes are reported", () => {
    const [problem = ""] = problems(JSON.stringify(Array.from({ length: 50_000 }, () => 1)));
    expect(problem.length).toBeLessThan(3_000);
    expect(problem).toContain("and 49980 more mistakes");
  });

  test.each([
    ["a file that is not there", undefined, "must be the path of a file that can be read"],
    ["what is not JSON", "[{", "must name a file with a JSON array such as"],
    ["JSON of something else", '{"model":"mine"}', "must name a file with a JSON array such as"],
    ["an empty file", "", "must name a file with a JSON array such as"],
  ])("%s is refused", (_, content, mistake) => {
    expect(problems(content)).toEqual([expect.stringContaining(`  MODEL_PRICES: ${mistake}`)]);
  });

  test("a folder, a pipe and a file that is too large are not read", () => {
    const refused = [expect.stringContaining("must be the path of a file of at most 1 MB")];
    expect(problemsOf({ MODEL_PRICES: tmpdir() })).toEqual(refused);
    withFile("", (path) => {
      truncateSync(path, 1024 * 1024 + 1);
      expect(problemsOf({ MODEL_PRICES: path })).toEqual(refused);
      rmSync(path);
      Bun.spawnSync(["mkfifo", path]);
      expect(problemsOf({ MODEL_PRICES: path })).toEqual(refused);
    });
  });
});
