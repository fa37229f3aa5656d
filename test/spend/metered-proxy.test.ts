import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { openModelProxy } from "../../src/agents/model-proxy.ts";
import { readConfig } from "../../src/config/config.ts";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { Secret } from "../../src/shared/secret.ts";
import { readRequest } from "../../src/spend/requests.ts";
import { openSpend } from "../../src/spend/spend.ts";
import { describeEmbedded } from "../harness/databases.ts";
import { until } from "../harness/until.ts";

/** claude-sonnet-4-5: 3 dollars a million tokens of input, 15 of output; in billionths a token, 3,000 and 15,000. */
const MODEL = "claude-sonnet-4-5";
const USAGE = { input_tokens: 100, output_tokens: 1 };
const COST = 100 * 3_000 + 20 * 15_000;
const logger = createLogger({ level: "silent" });

type Part = string | "break" | "pause" | "wait";
const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const START = event({ type: "message_start", message: { model: MODEL, usage: USAGE } });
const delta = (text: string) => event({ type: "content_block_delta", delta: { type: "text_delta", text } });
const END = event({ type: "message_delta", delta: {}, usage: { output_tokens: 20 } });
const WHOLE: readonly Part[] = [START, delta("Hello."), END];

describeEmbedded("calls that pass the proxy", (database) => {
  /** A run with a budget, whose model answers as the test says. */
  async function open(env: Record<string, string> = {}, asyncCommit = database().asyncCommit) {
    let answer: readonly Part[] | Response = WHOLE;
    const asked: string[] = [];
    const arrived = Promise.withResolvers<void>();
    const upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      async fetch(request): Promise<Response> {
        asked.push(await request.text());
        if (answer instanceof Response) return answer.clone() as Response;
        const parts = [...answer];
        const body = new ReadableStream({
          async pull(controller) {
            const part = parts.shift();
            if (part === undefined) controller.close();
            else if (part === "break") {
              // What it has sent has arrived by then: an error drops what is still in its buffers.
              await arrived.promise;
              controller.error(new Error("broken"));
            } else if (part === "pause") {
              await arrived.promise;
              controller.enqueue(Buffer.from(": goes on\n\n"));
            } else if (part === "wait") await new Promise(() => undefined);
            else controller.enqueue(Buffer.from(part));
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      },
    });
    const metrics = createMetrics({
      version: "0",
      deployment: async () => ({ roundTrip: 0, deployment: undefined }),
    });
    const spend = openSpend({ config: readConfig(env), database: { asyncCommit }, metrics, logger });
    const account = {
      ...{ promptId: undefined, epoch: 0, sessionId: Bun.randomUUIDv7(), userId: Bun.randomUUIDv7() },
      ...{ repo: "https://git.example/a/b", agent: "claude" },
    };
    const proxy = openModelProxy({
      api: "anthropic",
      upstream: `http://127.0.0.1:${upstream.port}`,
      apiKey: new Secret("key"),
    });
    const exhausted: string[] = [];
    const grant = proxy.grant({
      id: "run",
      meter: spend.meter({ api: "anthropic", account }),
      onExhausted: ({ denied }) => exhausted.push(denied),
    });
    const row = async () => {
      const [found] = await rowsOf<{ spent: number; reserved: number }>(
        database().orm,
        sql`select spent::float8, reserved::float8 from spend where scope = 'session' and subject = ${account.sessionId}`,
      );
      return found ? [found.spent, found.reserved] : undefined;
    };
    return {
      ...{ asked, arrived, exhausted, account, spend, metrics, row },
      answers: (next: readonly Part[] | Response) => {
        answer = next;
      },
      post: (body: object = {}, init: RequestInit = {}, path = "/v1/messages") =>
        fetch(`${proxy.url}${path}`, {
          method: "POST",
          headers: { "x-api-key": grant.token },
          body: JSON.stringify({ model: MODEL, max_tokens: 100, stream: true, messages: [], ...body }),
          ...init,
        }),
      settled: grant.settled,
      calls: () =>
        rowsOf<{ status: string; cost: number; estimated: boolean; model: string }>(
          database().orm,
          sql`select status, cost::float8, estimated, model from model_call where session_id = ${account.sessionId}::uuid order by id`,
        ),
      async [Symbol.asyncDispose]() {
        grant.revoke();
        await proxy.close();
        await spend.ledger.close();
        await upstream.stop(true);
      },
    };
  }

  /** Cause: the agent read the failed statement, and what was in it. */
  test("are not made while what they may cost cannot be reserved, and their agent reads nothing of why", async () => {
    const execute = () => Promise.reject(new Error("Failed query: select * from reserve_model_calls"));
    await using run = await open({}, { execute } as unknown as Orm);
    const reply = await run.post();
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(await reply.json()).toMatchObject({
      error: { message: "The budget of this call cannot be checked now. Try again later." },
    });
    expect(run.asked).toEqual([]);
  });

  test("byte for byte, and counted as its API says", async () => {
    await using run = await open();
    const reply = await run.post();
    expect(await reply.text()).toBe(WHOLE.join(""));
    await run.settled();
    expect(await run.calls()).toEqual([{ status: "done", cost: COST, estimated: false, model: MODEL }]);
    expect(await run.row()).toEqual([COST, 0]);
    const text = await run.metrics.text();
    expect(text).toContain(`prompt_backend_model_tokens_total{model="${MODEL}",kind="output"} 20`);
    expect(text).toContain(`prompt_backend_model_cost_usd_total{model="${MODEL}"} ${COST / 1e9}`);
  });

  test("an answer that breaks off counts what was delivered, and says that it is estimated", async () => {
    await using run = await open();
    run.answers([START, delta("x".repeat(400)), "break"]);
    const reader = (await run.post()).body?.getReader();
    for (let got = ""; !got.includes("xxx"); )
      got += Buffer.from((await reader?.read())?.value ?? []).toString();
    run.arrived.resolve();
    expect((await reader?.read())?.done).toBe(true);
    await run.settled();
    expect(await run.calls()).toEqual([
      { status: "broken", cost: 100 * 3_000 + 100 * 15_000, estimated: true, model: MODEL },
    ]);
  });

  /**
   * Cause: a run's first call was taken for one that finds nothing in the cache, which its session's earlier runs had filled; and then
   * a helper's first call for one that finds what its agent's own had cached.
   */
  test.each(["its", "another"])(
    "an answer that breaks off before its first word has read what an earlier run of its session has cached of its conversation: %s",
    async (whose) => {
      await using run = await open();
      const { sessionId, userId } = run.account;
      const request = {
        ...{ model: MODEL, max_tokens: 100, stream: true },
        messages: [{ role: "user", content: "x".repeat(8000) }],
      };
      const before = whose === "its" ? request : { ...request, messages: [{ role: "user", content: "y" }] };
      const { conversation } = readRequest("anthropic", "/v1/messages", Buffer.from(JSON.stringify(before)));
      await database().orm.execute(sql`insert into model_call (id, session_id, user_id, repo, agent, api, model, status, conversation,
          input_tokens, cache_read_tokens, cache_write_tokens)
        values (${Bun.randomUUIDv7()}, ${sessionId}, ${userId}, '', '', 'anthropic', ${MODEL}, 'done', ${conversation}, 10, 600, 400)`);
      run.answers(["break"]);
      run.arrived.resolve();
      await (await run.post(request)).text();
      await run.settled();
      const all = Math.ceil(JSON.stringify(request).length / 4);
      const read = whose === "its" ? 1_000 : 0;
      const cost = read * 300 + 10 * 3_000 + (all - 10 - read) * 3_750;
      expect((await run.calls()).at(-1)).toEqual({ status: "broken", cost, estimated: true, model: MODEL });
    },
  );

  test("what has passed of a long answer is written down while it grows, for the case that its process dies", async () => {
    await using run = await open();
    const leave = new AbortController();
    const start = event({
      type: "message_start",
      message: { model: MODEL, usage: { ...USAGE, output_tokens: 0 } },
    });
    run.answers([start, "pause", delta("x".repeat(4_000)), "wait"]);
    const reader = (await run.post({}, { signal: leave.signal })).body?.getReader();
    await reader?.read();
    run.arrived.resolve();
    // What nobody reads does not pass.
    const reading = (async () => {
      while (!(await reader?.read())?.done);
    })().catch(() => undefined);
    const known = async () => {
      const [row] = await rowsOf<{ input: number; output: number; estimate: number }>(
        database().orm,
        sql`select input_tokens::int as input, output_tokens::int as output, input_estimate::int as estimate
          from model_call where session_id = ${run.account.sessionId}::uuid and status = 'open'`,
      );
      return row;
    };
    // Not more than that: it has gone silent.
    await until(async () => (await known())?.output === 1_000, { what: "the record of what has passed" });
    expect(await known()).toEqual({ input: 100, output: 1_000, estimate: 0 });
    leave.abort();
    await reading;
    await until(async () => (await run.row())?.[1] === 0, { what: "the end of the call" });
  });

  /** Cause: such a call was lost under the name that its gateway has for the model, which has no price, and so for nothing. */
  test("the record of an answer has a model with a price, whatever its API calls it", async () => {
    await using run = await open();
    const leave = new AbortController();
    run.answers([event({ type: "message_start", message: { model: "gateway-1", usage: USAGE } }), "wait"]);
    const response = await run.post({}, { signal: leave.signal });
    await response.body?.getReader().read();
    const known = () =>
      rowsOf<{ model: string; input: number }>(
        database().orm,
        sql`select model, input_tokens::int as input from model_call where session_id = ${run.account.sessionId}::uuid`,
      );
    await until(async () => (await known())[0]?.input === 100, { what: "the record of its input" });
    expect(await known()).toEqual([{ model: MODEL, input: 100 }]);
    leave.abort();
    await until(async () => (await run.row())?.[1] === 0, { what: "the end of the call" });
  });

  test("of a call that nobody hears of again, what the one before has cached is read from there", async () => {
    await using run = await open();
    const usage = {
      input_tokens: 0,
      output_tokens: 1,
      cache_read_input_tokens: 600,
      cache_creation_input_tokens: 400,
    };
    const messages = [{ role: "user", content: "x".repeat(4_000) }];
    run.answers([event({ type: "message_start", message: { model: MODEL, usage } }), delta("Hi."), END]);
    await (await run.post({ messages })).text();
    await run.settled();
    const leave = new AbortController();
    run.answers(["wait"]);
    const left = run.post({ messages }, { signal: leave.signal }).catch(() => undefined);
    await until(() => run.asked.length === 2, { what: "the second call" });
    leave.abort();
    await left;
    await until(async () => (await run.row())?.[1] === 0, { what: "the end of the call" });
    expect((await run.calls()).at(-1)).toMatchObject({
      status: "broken",
      cost: 1_000 * 300,
      estimated: true,
    });
  });

  test("an API that says in mid-stream that it is overloaded gets a rest, like one that answers 529", async () => {
    await using run = await open();
    run.answers([
      START,
      delta("x".repeat(40)),
      event({ type: "error", error: { type: "overloaded_error" } }),
    ]);
    await (await run.post()).text();
    await run.settled();
    expect(await run.calls()).toEqual([
      { status: "broken", cost: 100 * 3_000 + 10 * 15_000, estimated: true, model: MODEL },
    ]);
    const [api] = await rowsOf<{ rests: boolean }>(
      database().orm,
      sql`select back_off_until > clock_timestamp() as rests from model_api where api = 'anthropic'`,
    );
    expect(api).toEqual({ rests: true });
  });

  test("a model that declines before its first word costs nothing", async () => {
    await using run = await open();
    const end = event({
      type: "message_delta",
      delta: { stop_reason: "refusal" },
      usage: { output_tokens: 1 },
    });
    run.answers([START, end]);
    await (await run.post()).text();
    run.answers([START, delta("x".repeat(8)), end]);
    await (await run.post()).text();
    await run.settled();
    expect((await run.calls()).map(({ status, cost, estimated }) => [status, cost, estimated])).toEqual([
      ["done", 0, false],
      ["done", 100 * 3_000 + 15_000, false],
    ]);
  });

  test("a client that goes away leaves nothing reserved", async () => {
    await using run = await open();
    run.answers([START, delta("x".repeat(40)), "wait"]);
    const leave = new AbortController();
    const reply = await run.post({}, { signal: leave.signal });
    await reply.body?.getReader().read();
    expect((await run.row())?.[1]).toBeGreaterThan(0);
    leave.abort();
    await until(async () => (await run.row())?.[1] === 0 || undefined, { what: "the end of the call" });
    const [call] = await run.calls();
    expect(call).toMatchObject({ status: "broken", estimated: true });
  });

  test("errors and counts of tokens cost nothing", async () => {
    await using run = await open();
    run.answers(Response.json({ type: "error" }, { status: 500 }));
    expect((await run.post()).status).toBe(500);
    run.answers(Response.json({ input_tokens: 7 }));
    expect(await (await run.post({}, {}, "/v1/messages/count_tokens")).json()).toEqual({ input_tokens: 7 });
    await run.settled();
    expect((await run.calls()).map(({ status, cost }) => [status, cost])).toEqual([
      ["failed", 0],
      ["done", 0],
    ]);
    expect(await run.row()).toEqual([0, 0]);
  });

  test("a budget that lacks it: the call is not made, and its client is told not to try again", async () => {
    // One call may cost 2,000 tokens more than its bytes, and 100 of output: about a cent.
    await using run = await open({ BUDGET_USD_PER_SESSION: "0.009" });
    await (await run.post()).text();
    await run.settled();
    await (await run.post()).text();
    await run.settled();
    const refused = await run.post({ max_tokens: 1_000 });
    expect([refused.status, refused.headers.get("x-should-retry")]).toEqual([402, "false"]);
    expect(await refused.json()).toMatchObject({
      type: "error",
      error: {
        type: "billing_error",
        message: expect.stringContaining("for this session: it needs a lower limit of output"),
      },
    });
    expect((await run.post()).status).toBe(402);
    expect(run.asked).toHaveLength(2);
    expect(run.exhausted).toEqual(["budget"]);
    expect(await run.row()).toEqual([2 * COST, 0]);
  });

  test("a model that is not allowed, or whose price nobody knows, is refused", async () => {
    await using run = await open({ MODELS_ALLOWED: "claude-*", MODEL_PRICES_UNKNOWN: "refuse" });
    for (const model of ["gpt-5", "claude-99"]) {
      const refused = await run.post({ model });
      expect(refused.status).toBe(403);
      expect(await refused.text()).toContain(model);
    }
    const body = `{"model":"${MODEL}","max_tokens":1,"model":"claude-opus-4-1"}`;
    expect((await run.post({}, { body })).status).toBe(400);
    expect(run.asked).toEqual([]);
    expect(await run.metrics.text()).toContain('prompt_backend_model_calls_refused_total{reason="model"} 2');
  });

  /** Cause: one call can be answered by a model that it names in another place than "model". */
  test("models that may answer instead, or advise, must be allowed, and are paid for", async () => {
    await using run = await open({ MODELS_ALLOWED: "claude-sonnet-*" });
    const advisor = (model: string) => ({ tools: [{ type: "advisor_20260301", name: "advisor", model }] });
    for (const body of [{ fallbacks: [{ model: "claude-opus-5" }] }, advisor("claude-opus-5"), advisor("")]) {
      const response = await run.post(body);
      expect([response.status, await response.text()]).toEqual([
        403,
        expect.stringContaining("MODELS_ALLOWED"),
      ]);
    }
    expect(run.asked).toEqual([]);
    const iterations = [
      { type: "advisor_message", model: "claude-opus-5", input_tokens: 10, output_tokens: 2 },
    ];
    const usage = { output_tokens: 20, iterations };
    run.answers([START, delta("Hello."), event({ type: "message_delta", delta: {}, usage })]);
    await (await run.post({ ...advisor("claude-sonnet-4-5"), fallbacks: "default" })).text();
    await run.settled();
    expect(await run.row()).toEqual([COST + 10 * 5_000 + 2 * 25_000, 0]);
  });

  test("a call that may take two models is reserved for both", async () => {
    // An answer costs at most 30,000 * 15 dollars a million: 0.45 dollars.
    await using run = await open({ BUDGET_USD_PER_SESSION: "0.6" });
    const one = await run.post({ max_tokens: 30_000 });
    expect([one.status, await one.text()]).toEqual([200, WHOLE.join("")]);
    const two = await run.post({ max_tokens: 30_000, fallbacks: [{ model: MODEL }] });
    expect([two.status, await two.text()]).toEqual([402, expect.stringContaining("could cost $0.9")]);
  });

  /** Cause: of such an answer nothing passes before its end, so that who always hung up before it paid for no output. */
  test("who does not wait for a message that is not streamed pays for what may be written by then", async () => {
    await using run = await open();
    run.answers(["wait"]);
    const output = async (body: object) => {
      const leaves = new AbortController();
      const asked = run.asked.length;
      const posted = run.post(body, { signal: leaves.signal }).catch(() => undefined);
      await until(() => run.asked.length > asked, { what: "the call is made" });
      leaves.abort();
      await posted;
      const ended = async () =>
        (await run.calls()).filter(({ status }) => status === "broken").length > asked;
      await until(ended, { what: "the call has ended" });
      const [call] = await rowsOf<{ output: number }>(
        database().orm,
        sql`select output_tokens::int as output from model_call where session_id = ${run.account.sessionId}::uuid
          order by id desc limit 1`,
      );
      return call?.output;
    };
    expect(await output({ stream: false })).toBeGreaterThan(0);
    expect(await output({ stream: false, max_tokens: 1 })).toBe(1);
    expect(await output({})).toBe(0);
  });

  test("who hangs up in the middle of a message that is not streamed pays for what has passed", async () => {
    await using run = await open();
    const head = JSON.stringify({ type: "message", content: [{ type: "text", text: "x".repeat(4000) }] });
    run.answers(
      new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(Buffer.from(head.slice(0, 4000))),
          pull: () => new Promise(() => undefined),
        }),
        { headers: { "content-type": "application/json" } },
      ),
    );
    const leaves = new AbortController();
    const response = await run.post({ stream: false }, { signal: leaves.signal });
    await response.body?.getReader().read();
    leaves.abort();
    await until(async () => (await run.calls())[0]?.status === "broken", { what: "the call has ended" });
    const [call] = await run.calls();
    expect(call?.estimated).toBe(true);
    expect(call?.cost).toBeGreaterThanOrEqual(1000 * 15_000);
  });

  test("an unknown model that is let through counts as the dearest", async () => {
    await using run = await open();
    run.answers([event({ type: "message_start", message: { model: "mystery", usage: USAGE } }), END]);
    await (await run.post({ model: "mystery" })).text();
    await run.settled();
    expect((await run.calls())[0]?.cost).toBeGreaterThan(COST);
  });

  test("while the API is overloaded, calls wait, users in turn", async () => {
    await using run = await open({ MODEL_CALLS_AT_A_TIME: "1" });
    run.answers(Response.json({ type: "error" }, { status: 529, headers: { "retry-after": "1" } }));
    expect((await run.post()).status).toBe(529);
    await run.settled();
    run.answers(WHOLE);
    const began = performance.now();
    const replies = await Promise.all([run.post(), run.post()].map(async (one) => (await one).text()));
    expect(replies).toEqual([WHOLE.join(""), WHOLE.join("")]);
    // It has asked for a second, of which some has passed.
    expect(performance.now() - began).toBeGreaterThan(500);
    expect(run.asked).toHaveLength(3);
  });
});
