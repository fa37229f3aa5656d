import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { readConfig } from "../../src/config/config.ts";
import { readForScrape } from "../../src/db/deployment-metrics.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { settleLostCalls } from "../../src/spend/lost-calls.ts";
import { openSpend } from "../../src/spend/spend.ts";
import { describeEachDatabase } from "../harness/databases.ts";

const PREFIX = "prompt_backend_model_";

describeEachDatabase("what models cost, on a scrape", (database) => {
  function open(env: Record<string, string> = {}) {
    const metrics = createMetrics({
      version: "0",
      deployment: () => readForScrape({ orm: database().orm, leads: async () => true }),
      deploymentMaxAgeMs: 0,
    });
    const said: string[] = [];
    const logger = createLogger({ level: "warn", write: (line) => said.push(line) });
    const spend = openSpend({ config: readConfig(env), database: database(), metrics, logger });
    /** Those whose names begin so, each without the prefix. */
    const read = async (...names: string[]) =>
      (await metrics.text())
        .split("\n")
        .filter((line) => names.some((name) => line.startsWith(`${PREFIX}${name}`)))
        .map((line) => line.slice(PREFIX.length));
    return { metrics, spend, read, said };
  }
  const openCall = (model: string, startedAt = sql`now()`) =>
    database().orm.execute(sql`insert into model_call
      (id, session_id, user_id, repo, agent, api, model, reserved, input_estimate, started_at)
      values (${Bun.randomUUIDv7()}, ${Bun.randomUUIDv7()}, 'alice', 'r', 'claude', 'anthropic', ${model}, 5, 1000, ${startedAt})`);

  test("has the day's money, open calls and the back-off of each API", async () => {
    const { orm } = database();
    const { read } = open();
    expect(await read("spent", "reserved", "back", "calls_open")).toEqual([
      "spent_today_usd 0",
      "reserved_usd 0",
    ]);
    await orm.execute(sql`insert into spend (scope, subject, period, spent, reserved)
      select scope, subject, (now() at time zone 'utc')::date - days, spent, reserved from (values
        ('deployment_day', '', 0, 2500000000, 500000000),
        ('deployment_day', '', 1, 7000000000, 250000000),
        ('user_day', 'alice', 0, 2500000000, 500000000)) of (scope, subject, days, spent, reserved)`);
    await orm.execute(sql`insert into model_api (api, back_off_until) values
      ('anthropic', now() + interval '1 hour'), ('openai', now() - interval '1 hour'), ('google', null)`);
    await openCall("claude-sonnet-5");
    // What is reserved by a call of yesterday is still held.
    expect(await read("spent", "reserved", "calls_open")).toEqual([
      "spent_today_usd 2.5",
      "reserved_usd 0.75",
      'calls_open{api="anthropic"} 1',
      'calls_open{api="google"} 0',
      'calls_open{api="openai"} 0',
    ]);
    const [anthropic, ...others] = await read("back_off_seconds");
    expect(Number(anthropic?.split(" ")[1])).toBeWithin(3_500, 3_601);
    expect(others).toEqual(['back_off_seconds{api="google"} 0', 'back_off_seconds{api="openai"} 0']);
  });

  // An increase is seen only of a series that was there before.
  test("each refusal is counted from zero on, and budgets are those that are set", async () => {
    const { metrics, read } = open({ BUDGET_USD_PER_DEPLOYMENT_DAY: "20", BUDGET_USD_PER_RUN: "0.50" });
    expect((await read("budget_usd")).sort()).toEqual([
      'budget_usd{scope="deployment_day"} 20',
      'budget_usd{scope="run"} 0.5',
    ]);
    expect(await read("calls_waiting", "calls_lost")).toEqual(["calls_lost_total 0", "calls_waiting 0"]);
    metrics.modelCallRefused("budget");
    const refused = await read("calls_refused_total");
    expect(refused).toContain('calls_refused_total{reason="budget"} 1');
    expect(refused).toContain('calls_refused_total{reason="busy"} 0');
  });

  test("calls that nobody ended are counted as lost, with what they cost, once", async () => {
    const { orm } = database();
    const { metrics, spend, read } = open();
    for (const model of ["claude-haiku-4-5-20251001", "made-up-by-an-agent"])
      await openCall(model, sql`now() - interval '1 hour'`);
    expect(await settleLostCalls(orm, spend.rules.prices, metrics)).toBe(2);
    expect(await settleLostCalls(orm, spend.rules.prices, metrics)).toBe(0);
    expect(await read("calls_lost", "calls_total")).toEqual([
      'calls_total{api="anthropic",model="claude-haiku-4-5",status="lost"} 1',
      'calls_total{api="anthropic",model="other",status="lost"} 1',
      "calls_lost_total 2",
    ]);
    // 1 dollar a million tokens of input.
    expect(await read('cost_usd_total{model="claude-haiku-4-5"}')).toEqual([
      'cost_usd_total{model="claude-haiku-4-5"} 0.001',
    ]);
  });

  test("the ledger's waiting calls are those of this moment", async () => {
    const { metrics, read } = open();
    let waiting = 3;
    metrics.modelSpend({ budgets: {}, waiting: () => waiting });
    expect(await read("calls_waiting")).toEqual(["calls_waiting 3"]);
    waiting = 0;
    expect(await read("calls_waiting")).toEqual(["calls_waiting 0"]);
  });

  test("an overloaded API is said once, however many of its calls are refused", async () => {
    const { spend, said } = open();
    const account = {
      ...{ promptId: undefined, epoch: 0, sessionId: Bun.randomUUIDv7(), userId: "alice" },
      ...{ repo: "r", agent: "claude" },
    };
    const { signal } = new AbortController();
    const body = Buffer.from(JSON.stringify({ generationConfig: { maxOutputTokens: 1 } }));
    const meter = spend.meter({ api: "google", account });
    const path = "/v1beta/models/gemini-3-pro:generateContent";
    await database().orm.execute(sql`delete from model_api`);
    const calls = await Promise.all([1, 2].map(() => meter.begin({ path, body, signal })));
    for (const call of calls) {
      if ("denied" in call) throw new Error(call.message);
      call.answered({ status: 429, contentType: "application/json", retryAfterMs: 2_000 });
      await call.end("whole");
    }
    expect(said.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({
        ...{ level: "warn", message: "a model API is overloaded: all calls of it wait" },
        ...{ api: "google", model: "gemini-3-pro", status: 429, retry_after_ms: 2_000 },
      }),
    ]);
  });
});
