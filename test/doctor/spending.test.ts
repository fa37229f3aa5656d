import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { spendingFindings } from "../../src/doctor/spending.ts";
import { useDoctor } from "./use-doctor.ts";

const { examined } = useDoctor();
const KEY = { ANTHROPIC_API_KEY: "sk-test" };
const NOW = new Date("2026-12-01");
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-spending-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** By check; each with its status. */
const found = (env: Record<string, string>, now = NOW) =>
  Object.fromEntries(
    spendingFindings(readConfig({ ...KEY, ...env }), now).map(({ check, status, detail }) => [
      check,
      `${status}: ${detail}`,
    ]),
  );
async function pricesFile(name: string, entries: unknown) {
  const path = join(folder, name);
  await Bun.write(path, JSON.stringify(entries));
  return path;
}

test("a service without a budget is told so, and one without a model has none to set", async () => {
  expect(spendingFindings(readConfig({}), NOW)).toEqual([
    { check: "costs", status: "ok", detail: "no model API has a key: nothing costs money" },
  ]);
  expect(found({})).toEqual({
    budgets: "warn: none is set: what agents spend is limited by RUN_MAX_MODEL_CALLS (2000) alone",
    "models allowed": "ok: *",
    prices: "ok: built-in table of 2026-11-29",
  });
  expect(found({ BUDGET_USD_PER_RUN: "5", BUDGET_USD_PER_DEPLOYMENT_DAY: "100" })["budgets"]).toBe(
    "ok: BUDGET_USD_PER_RUN ($5.00), BUDGET_USD_PER_DEPLOYMENT_DAY ($100.00)",
  );
});

test("budgets that are never reached, or that no call fits in", () => {
  const { budgets } = found({
    BUDGET_USD_PER_RUN: "50",
    BUDGET_USD_PER_USER_DAY: "20",
    BUDGET_USD_PER_DEPLOYMENT_DAY: "10",
  });
  expect(budgets?.split("\n")).toEqual([
    "warn: BUDGET_USD_PER_RUN ($50.00) is more than BUDGET_USD_PER_USER_DAY ($20.00), which is used up first",
    "BUDGET_USD_PER_RUN ($50.00) is more than BUDGET_USD_PER_DEPLOYMENT_DAY ($10.00), which is used up first",
    "BUDGET_USD_PER_USER_DAY ($20.00) is more than BUDGET_USD_PER_DEPLOYMENT_DAY ($10.00), which is used up first",
  ]);
  // 32000 tokens of output at 15 dollars a million.
  const small = found({ BUDGET_USD_PER_RUN: "0.40", CLAUDE_MODEL: "claude-sonnet-4-5" });
  expect(small["budgets"]).toBe(
    "warn: BUDGET_USD_PER_RUN ($0.40) is less than one long answer of claude-sonnet-4-5 may cost ($0.48): its calls are refused",
  );
  expect(found({ BUDGET_USD_PER_RUN: "0.50", CLAUDE_MODEL: "claude-sonnet-4-5" })["budgets"]).toMatch(/^ok/);
});

test("models that have no price, or that are not allowed", async () => {
  const agents = [
    { name: "mine", command: ["mine"], protocol: "acp", modelApi: "anthropic", models: ["house-1"] },
  ];
  const AGENTS = JSON.stringify(agents);
  expect(found({ AGENTS, CLAUDE_MODEL: "claude-fable-5-20260205" })["prices"]).toBe(
    "warn: house-1 of the agent mine has no price: it counts as the dearest that has one",
  );
  expect(found({ AGENTS, MODEL_PRICES_UNKNOWN: "refuse" })["prices"]).toBe(
    "warn: house-1 of the agent mine has no price: its calls are refused",
  );
  const entry = { model: "house-1", input: 1, output: 2, context: 1000, max_output: 100 };
  const MODEL_PRICES = await pricesFile("own.json", [entry]);
  expect(found({ AGENTS, MODEL_PRICES })["prices"]).toBe(
    "ok: built-in table of 2026-11-29, and 1 of MODEL_PRICES",
  );
  // An alias is the program's: it makes a name of it.
  expect(found({ CLAUDE_MODEL: "sonnet" })["prices"]).toMatch(/^ok/);
  expect(found({ AGENTS, MODELS_ALLOWED: "claude-sonnet-*,claude-sonet-4-5" })["models allowed"]).toBe(
    [
      "warn: MODELS_ALLOWED does not allow claude-haiku-4-5 of TITLE_MODEL",
      "MODELS_ALLOWED does not allow house-1 of the agent mine",
      "claude-sonet-4-5 of MODELS_ALLOWED is no model that has a price",
    ].join("\n"),
  );
});

test("built-in prices grow old in half a year", () => {
  expect(found({}, new Date("2027-05-31"))["prices"]).toMatch(/^ok/);
  expect(found({}, new Date("2027-06-01"))["prices"]).toBe("warn: the built-in prices are 184 days old");
});

test("doctor reports them, and the mistakes of a price file by the model's name", async () => {
  const { of } = await examined({ ...KEY, ANTHROPIC_BASE_URL: "http://127.0.0.1:9" });
  expect(of("prices")).toContain("built-in");
  expect(of("budgets")).toMatch(/^warn: none is set/);
  const path = await pricesFile("bad.json", [{ model: "house-1", input: "1" }]);
  const bad = (await examined({ MODEL_PRICES: path })).of("configuration");
  expect(bad).toContain('MODEL_PRICES: names a file in which "house-1"');
}, 60_000);
