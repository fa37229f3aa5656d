import { describe, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { readConfig } from "../../src/config/config.ts";
import { rowsOf } from "../../src/db/client.ts";
import type { ModelApi } from "../../src/db/columns.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { Secret } from "../../src/shared/secret.ts";
import { UnreadableBody } from "../../src/spend/json-object.ts";
import { readRequest } from "../../src/spend/requests.ts";
import { openSpend } from "../../src/spend/spend.ts";
import { until } from "../harness/until.ts";
import { describeRuns, type RunFixture, shellAgent } from "../runs/fixture.ts";

const CHEAP = "claude-haiku-4-5";
const DEAR = "claude-opus-4-1";
/** What each answer of the model below costs. */
const CALL_USD = 0.01;
const HONEST = JSON.stringify({ model: CHEAP, max_tokens: 1600 });

const BODIES: Record<string, [ModelApi, string | Uint8Array]> = {
  "a key twice": ["anthropic", `{"model":"${CHEAP}","model":"${DEAR}","max_tokens":1}`],
  "a key twice, once with escapes": ["anthropic", `{"model":"${CHEAP}","m\\u006fdel":"${DEAR}"}`],
  "a key twice, once in capitals": ["anthropic", `{"model":"${CHEAP}","Model":"${DEAR}"}`],
  "a key in capitals": ["anthropic", `{"model":"${CHEAP}","Max_Tokens":64000,"x":1}`],
  "a key with a letter that folds to another": [
    "anthropic",
    `{"model":"${CHEAP}","max_tokens":1,"max_to\u212aens":9}`,
  ],
  "two texts": ["anthropic", `${HONEST} {"model":"${DEAR}"}`],
  "a byte order mark": ["anthropic", `\ufeff${HONEST}`],
  "bytes that are no UTF-8": [
    "anthropic",
    Buffer.from(`{"model":"${CHEAP}","mod\xffel":"${DEAR}"}`, "latin1"),
  ],
  "UTF-16": ["anthropic", Buffer.from(HONEST, "utf16le")],
  "an array": ["anthropic", `[${HONEST}]`],
  "a model that is no text": ["anthropic", `{"model":["${CHEAP}"]}`],
  "half of a surrogate pair": ["anthropic", '{"model":"\\ud800"}'],
  "a zero byte": ["anthropic", '{"model":"m\\u0000"}'],
  "an answer in the background": ["openai", '{"model":"gpt-5","background":true}'],
  "the same as a text": ["openai", '{"model":"gpt-5","background":"true"}'],
  "another model than the path's": ["google", '{"model":"models/gemini-dear"}'],
};

describe("a body that two readers could read differently, or that nobody may send", () => {
  const paths = { google: "/v1beta/models/gemini-2.5-flash:generateContent" } as Record<ModelApi, string>;
  test.each(Object.entries(BODIES))("%s is refused", (_, [api, body]) => {
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    expect(() => readRequest(api, paths[api] ?? "/v1/messages", bytes)).toThrow(UnreadableBody);
  });

  test("numbers that are none are no limit; texts of numbers are numbers", () => {
    const read = (maxTokens: unknown) =>
      readRequest("anthropic", "/v1/messages", Buffer.from(`{"model":"m","max_tokens":${maxTokens}}`))
        .maxOutput;
    for (const none of ["-1", "0", "null", '"many"', "[]", "{}", "true", '""'])
      expect([none, read(none)]).toEqual([none, undefined]);
    expect([read("0.5"), read('"99"'), read("1e308"), read('"Infinity"')]).toEqual([1, 99, 1e8, 1e8]);
    const answers = (n: unknown) =>
      readRequest("openai", "/v1/responses", Buffer.from(`{"model":"m","n":${n}}`)).answers;
    expect([answers("1e9"), answers('"7"'), answers("-3")]).toEqual([128, 7, 1]);
  });
});

/** A model with a bill of its own; a request that says "stall" is never answered. */
function startModel() {
  const asked: string[] = [];
  let left = 0;
  const server = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1", idleTimeout: 0 },
    async fetch(request) {
      const body = await request.text();
      const { pathname } = new URL(request.url);
      if (pathname.endsWith("/count_tokens"))
        return Response.json({ input_tokens: 1, stalled: asked.some((one) => one.includes("stall")) });
      asked.push(`${pathname} ${body}`);
      if (body.includes("stall")) {
        request.signal.addEventListener("abort", () => (left += 1));
        await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
      }
      const usage = { input_tokens: 2_000, output_tokens: 1_600 };
      return Response.json({ type: "message", model: CHEAP, usage });
    },
  });
  const anthropic = { upstream: `http://127.0.0.1:${server.port}`, apiKey: new Secret("sk-real") };
  return {
    ...{ asked, left: () => left },
    sources: { anthropic, openai: undefined, google: undefined },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** Runs a script that finds its model in URL and TOKEN. */
function hostile(script: string, env: Record<string, string> = {}, onStart?: (model: Model) => void): Agent {
  const agent = shellAgent(script, { modelApi: "anthropic" });
  return {
    ...agent,
    command(request) {
      const command = agent.command(request);
      const { baseUrl = "", token = "" } = request.model ?? {};
      onStart?.({ baseUrl, token });
      return { ...command, env: { ...command.env, ...env, URL: baseUrl, TOKEN: token, NO_PROXY: "*" } };
    },
  };
}
interface Model {
  baseUrl: string;
  token: string;
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
/** Prints a name and the status of the answer; 000: there was none. */
const attack = (name: string, path: string, args: string) =>
  `echo "${name}: $(curl -s -o /dev/null -m 20 --path-as-is -w '%{http_code}' ${args} "${path.startsWith("$") ? path : `$URL${path}`}")"`;
const post = (name: string, body: string, more = "", path = "/v1/messages") =>
  attack(name, path, `-H "x-api-key: $TOKEN" -d ${quoted(body)} ${more}`);

describeRuns("an agent that is hostile", (fixture) => {
  const metricsOf = () =>
    createMetrics({ version: "0", deployment: async () => ({ roundTrip: 0, deployment: undefined }) });
  const open = (model: ReturnType<typeof startModel>, env: Record<string, string> = {}) => {
    const metrics = metricsOf();
    const logger = createLogger({ level: "silent" });
    const spend = openSpend({ config: readConfig(env), database: fixture().database, metrics, logger });
    return {
      metrics,
      spend,
      deps: (agent: Agent) => fixture().depsFor(agent, { model: model.sources, spend, metrics }),
    };
  };
  const usageOf = async ({ database }: RunFixture) => {
    const rows = await rowsOf<{ prompt: string; calls: number; cost: number }>(
      database.orm,
      sql`select prompt_id as prompt, sum(calls)::int as calls, sum(cost)::float8 as cost from model_usage group by 1`,
    );
    return new Map(rows.map(({ prompt, calls, cost }) => [prompt, { calls, cost: cost / 1e9 }]));
  };
  const isSettled = ({ database }: RunFixture) =>
    until(
      async () =>
        (await rowsOf(database.orm, sql`select 1 from spend where reserved <> 0`)).length === 0 &&
        (await rowsOf(database.orm, sql`select 1 from model_call where status = 'open'`)).length === 0,
      { what: "nothing to be reserved" },
    );

  test("what it may not ask for is refused and counted, and never reaches the model", async () => {
    await using model = startModel();
    const { submit, run, textsOf, promptRow } = fixture();
    const { deps, metrics } = open(model, {
      ...{ MODELS_ALLOWED: `${CHEAP},mystery-*`, MODEL_PRICES_UNKNOWN: "refuse", BUDGET_USD_PER_RUN: "1" },
    });
    const forbidden: Record<string, string> = {
      "another model": "403",
      "a model without a price": "403",
      "no token": "401",
      "a made up token": "401",
      "a key twice": "400",
      "a compressed body": "400",
      "a body without a length": "411",
      "the list of models": "404",
    };
    const paths = [
      ...["/v1//messages", "/v1/messages/", "//v1/messages", "/V1/messages", "/v1/%6dessages"],
      ...["/v1/messages%2fbatches", "/v1/messages;x", "/v1/messages/batches", "/v1/messages/../files"],
      ...["/v1/files", "/v1/batches", "/v1/complete", "/v1/messages/count_tokens/../batches"],
    ];
    const { promptId } = await submit();
    const script = [
      post("honest", HONEST),
      post("another model", `{"model":"${DEAR}","max_tokens":1}`),
      post("a model without a price", '{"model":"mystery-1","max_tokens":1}'),
      attack("no token", "/v1/messages", `-d ${quoted(HONEST)}`),
      attack("a made up token", "/v1/messages", `-H "x-api-key: run-guess" -d ${quoted(HONEST)}`),
      post("a key twice", `{"model":"${CHEAP}","model":"${DEAR}"}`),
      post("a compressed body", HONEST, '-H "content-encoding: gzip"'),
      post("a body without a length", HONEST, '-H "transfer-encoding: chunked"'),
      attack("the list of models", "/v1/models", '-H "x-api-key: $TOKEN"'),
      ...paths.map((path) => post(path, HONEST, "", path)),
      post("honest again", HONEST),
    ].join("\n");
    await run(promptId, deps(hostile(script)));
    const said = Object.fromEntries(
      (await textsOf(promptId)).filter((text) => /: \d{3}$/.test(text)).map((text) => text.split(": ")),
    );
    expect(said).toEqual({
      ...{ honest: "200", "honest again": "200", ...forbidden },
      ...Object.fromEntries(paths.map((path) => [path, "404"])),
    });
    expect(model.asked).toEqual([`/v1/messages ${HONEST}`, `/v1/messages ${HONEST}`]);
    expect(await usageOf(fixture())).toEqual(new Map([[promptId, { calls: 2, cost: 2 * CALL_USD }]]));
    expect((await promptRow(promptId)).usage).toMatchObject({ cost_usd: 2 * CALL_USD, turns: 2 });
    const text = await metrics.text();
    for (const count of [/reason="token"\} 2/, /reason="model"\} 2/, /reason="invalid"\} [1-9]/])
      expect(text).toMatch(count);
  });

  test("another run's token is of no use to it: while that run is on, and after", async () => {
    await using model = startModel();
    const { submit, run, textsOf, waitForText, machine } = fixture();
    const { deps, metrics } = open(model);
    const [victim, thief, late] = [await submit(), await submit(), await submit()];
    let stolen: Model | undefined;
    const working = run(
      victim.promptId,
      deps(
        hostile(`${post("own", HONEST)}; echo ready; sleep 600`, {}, (its) => {
          stolen = its;
        }),
      ),
    );
    await waitForText(victim.promptId, "ready");
    const before = await usageOf(fixture());
    const steal = [
      attack("at its own proxy", "/v1/messages", `-H "x-api-key: $STOLEN" -d ${quoted(HONEST)}`),
      attack("as a bearer", "/v1/messages", `-H "authorization: Bearer $STOLEN" -d ${quoted(HONEST)}`),
      // Where sandboxes have a network of their own, the other's is not even there.
      ...(machine.provider.isolation.closedNetwork
        ? [attack("at the other's", "$OTHER/v1/messages", `-H "x-api-key: $STOLEN" -d ${quoted(HONEST)}`)]
        : []),
    ].join("\n");
    const env = { STOLEN: stolen?.token ?? "", OTHER: stolen?.baseUrl ?? "" };
    await run(thief.promptId, deps(hostile(steal, env)));
    const statuses = async (id: string) => (await textsOf(id)).filter((text) => /: \d{3}$/.test(text));
    const refused = ["at its own proxy: 401", "as a bearer: 401"];
    expect((await statuses(thief.promptId)).slice(0, 2)).toEqual(refused);
    expect((await statuses(thief.promptId))[2] ?? "401").toMatch(/401|000/);
    expect(await usageOf(fixture())).toEqual(before);
    await fixture().cancel(victim.sessionId, victim.promptId);
    await working;
    await run(late.promptId, deps(hostile(steal, env)));
    expect((await statuses(late.promptId)).slice(0, 2)).toEqual(refused);
    expect(model.asked).toHaveLength(1);
    const after = await usageOf(fixture());
    expect([after.has(thief.promptId), after.has(late.promptId)]).toEqual([false, false]);
    expect(after.get(victim.promptId)).toEqual({ calls: 1, cost: CALL_USD });
    expect(await metrics.text()).toMatch(/model_calls_refused_total\{reason="token"\} [4-6]/);
  });

  test("a call that it leaves behind ends with its run, and is paid for by it", async () => {
    await using model = startModel();
    const { submit, run } = fixture();
    const { deps } = open(model);
    const { promptId } = await submit();
    const others = await usageOf(fixture());
    const stall = JSON.stringify({ model: CHEAP, max_tokens: 1600, messages: "stall" });
    const count = `curl -s -H "x-api-key: $TOKEN" -d ${quoted(HONEST)} "$URL/v1/messages/count_tokens"`;
    const script = `${post("honest", HONEST)}
      setsid curl -s -m 300 -H "x-api-key: $TOKEN" -d '${stall}' "$URL/v1/messages" >/dev/null 2>&1 &
      until ${count} | grep -q '"stalled":true'; do sleep 0.05; done`;
    await run(promptId, deps(hostile(script)));
    expect(model.asked).toHaveLength(2);
    await until(() => model.left() === 1, { what: "the call to be given up" });
    await isSettled(fixture());
    const usage = await usageOf(fixture());
    expect(usage.get(promptId)?.cost).toBeGreaterThan(CALL_USD);
    usage.delete(promptId);
    expect(usage).toEqual(others);
  });

  test("what it says of its usage is no money, in no metric, and no harm", async () => {
    await using model = startModel();
    const { submit, run, promptRow } = fixture();
    const { deps, metrics } = open(model);
    const forged = [
      '{"total_cost_usd":1e308,"num_turns":1e308,"usage":{"input_tokens":1e308,"output_tokens":1e308}}',
      '{"total_cost_usd":-5,"num_turns":-1,"usage":{"input_tokens":-7,"output_tokens":"9e9"}}',
      '{"total_cost_usd":"NaN","num_turns":null,"usage":"lots"}',
      `{"__proto__":{"cost_usd":7},"usage":{"__proto__":{"cost_usd":7}},"constructor":{"prototype":{"cost_usd":7}}}`,
    ];
    for (const claim of forged) {
      const { promptId } = await submit();
      const result = `{"type":"result","subtype":"success","is_error":false,"result":"done",${claim.slice(1)}`;
      const script = `${post("honest", HONEST)}
        printf 'data: {"type":"message_delta","usage":{"output_tokens":123456789}}\\n\\n'
        printf '%s\\n' ${quoted(result)}`;
      await run(promptId, deps(hostile(script)));
      const { usage } = await promptRow(promptId);
      expect(usage).toMatchObject({
        cost_usd: CALL_USD,
        turns: 1,
        input_tokens: 2_000,
        output_tokens: 1_600,
      });
      for (const [key, value] of Object.entries(usage ?? {}))
        expect([key, Number(value) >= 0 && Number(value) <= 1e12]).toEqual([key, true]);
    }
    expect(({} as Record<string, unknown>)["cost_usd"]).toBeUndefined();
    const text = await metrics.text();
    expect(text).toContain(
      `prompt_backend_model_cost_usd_total{model="${CHEAP}"} ${forged.length * CALL_USD}`,
    );
    for (const line of text.split("\n").filter((one) => /cost|token|turn/.test(one) && !one.startsWith("#")))
      expect([line, Math.abs(Number(line.split(" ").at(-1))) < 1e9]).toEqual([line, true]);
    await isSettled(fixture());
  });
});
