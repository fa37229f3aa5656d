import { describe, expect, spyOn, test } from "bun:test";
import { against, badGateway, failure, ID, NEVER, ok, sdk } from "./client.ts";
import { json, killed, killedMidReply, refusal, type Step, silent, stuck } from "./scripted-server.ts";

const created = json({ success: true, message: "Session created", id: ID });

describe("retries", () => {
  const FAILURES: [string, Step][] = [
    ["a connection that is closed", killed],
    ["a reply that ends too early", killedMidReply],
    ["408", refusal("408 Request Timeout", "timeout")],
    ["429", refusal("429 Too Many Requests", "rate_limited")],
    ["500", refusal("500 Internal Server Error", "internal")],
    ["502 with HTML", badGateway],
    ["503", refusal("503 Service Unavailable", "shutting_down")],
  ];
  test.each(FAILURES)("%s: two, and then the reply", async (_name, failing) => {
    const { server, pb } = await against({}, failing, failing, ok);
    await using _ = server;
    expect(await pb.health.check()).toEqual({ status: "ok" });
    expect(server.asked).toHaveLength(3);
  });

  test.each(FAILURES)("%s: no more than two", async (_name, failing) => {
    const { server, pb } = await against({}, failing);
    await using _ = server;
    expect(await failure(pb.health.check())).toBeInstanceOf(sdk.PromptBackendError);
    expect(server.asked).toHaveLength(3);
  });

  test.each([400, 401, 403, 404, 409, 413, 422])("%p: none", async (status) => {
    const { server, pb } = await against({}, refusal(`${status} No`, "no"));
    await using _ = server;
    expect(await failure(pb.me.retrieve())).toMatchObject({ status });
    expect(server.asked).toHaveLength(1);
  });

  test("of the call, or of the client", async () => {
    const { server, pb } = await against({ maxRetries: 1 }, killed);
    await using _ = server;
    expect(await failure(pb.health.check())).toBeInstanceOf(sdk.ConnectionError);
    expect(server.asked).toHaveLength(2);
    expect(await failure(pb.health.check({ maxRetries: 0 }))).toBeInstanceOf(sdk.ConnectionError);
    expect(server.asked).toHaveLength(3);
  });

  test("a creation has one key in all of them, and another creation has another", async () => {
    const { server, pb } = await against({}, killed, badGateway, created, created);
    await using _ = server;
    const params = { repo: "owner/name", target_branch: "main" };
    expect(await pb.sessions.create(params)).toMatchObject({ id: ID });
    await pb.sessions.create(params);
    const keys = server.asked.map(({ headers }) => headers["idempotency-key"]);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(keys.slice(0, 3)).toEqual([keys[0], keys[0], keys[0]]);
    expect(keys[3]).not.toBe(keys[0]);
    expect(server.asked.map(({ body }) => JSON.parse(body))).toEqual([params, params, params, params]);
  });

  test("a key can be chosen, also with the generated methods", async () => {
    const { server, pb } = await against({}, created);
    await using _ = server;
    const body = { repo: "owner/name", target_branch: "main" };
    await pb.sessions.create(body, { idempotencyKey: "mine" });
    await pb.api.handlersSessionsCreate({ body, headers: { "idempotency-key": "theirs" } });
    await pb.api.handlersSessionsCreate({ body });
    expect(server.asked.map(({ headers }) => headers["idempotency-key"])).toEqual([
      "mine",
      "theirs",
      expect.stringMatching(/^[0-9a-f]{32}$/),
    ]);
  });

  describe("Retry-After", () => {
    const limited = (headers: Record<string, string>) =>
      refusal("429 Too Many Requests", "rate_limited", headers);

    test.each([
      ["seconds", { "retry-after": "0" }],
      ["a date", { "retry-after": new Date(0).toUTCString() }],
      ["milliseconds", { "retry-after-ms": "5", "retry-after": "60" }],
    ])("in %s", async (_name, headers: Record<string, string>) => {
      const { server, pb } = await against(NEVER, limited(headers), ok);
      await using _ = server;
      await pb.health.check();
      expect(server.asked).toHaveLength(2);
    });

    test("is waited for", async () => {
      const { server, pb } = await against({}, limited({ "retry-after": "1" }), ok);
      await using _ = server;
      const start = performance.now();
      await pb.health.check();
      expect(performance.now() - start).toBeGreaterThanOrEqual(990);
    });

    test("longer than a minute is the caller's to wait for", async () => {
      const { server, pb } = await against({}, limited({ "retry-after": "61" }), ok);
      await using _ = server;
      const error = await failure(pb.health.check());
      expect(error).toBeInstanceOf(sdk.RateLimitError);
      expect(error.retryAfter).toBe(61);
      expect(server.asked).toHaveLength(1);
    });
  });

  test("without a Retry-After the delays double, up to a limit", async () => {
    const { server, pb } = await against({ backoff: { first: 100, longest: 150 } }, killed);
    await using _ = server;
    const start = performance.now();
    await failure(pb.health.check());
    // 75 to 100 ms, and 112 to 150 ms.
    expect(performance.now() - start).toBeGreaterThanOrEqual(185);
  });

  test("begin after half a second by default, less up to a quarter of it", async () => {
    const { server, pb } = await against({ backoff: undefined }, badGateway, ok);
    await using _ = server;
    using random = spyOn(Math, "random").mockReturnValue(0);
    using timers = spyOn(globalThis, "setTimeout");
    await pb.health.check();
    expect(random).toHaveBeenCalled();
    expect(timers.mock.calls.map(([, ms]) => ms)).toContain(500);
  });
});

describe("timeouts", () => {
  test.each([
    ["a server that is silent", silent],
    ["a reply that does not go on", stuck],
  ])("%s", async (_name, step) => {
    const { server, pb } = await against({ timeout: 50, maxRetries: 1 }, step);
    await using _ = server;
    const error = await failure(pb.health.check());
    expect(error).toBeInstanceOf(sdk.TimeoutError);
    expect(error).toBeInstanceOf(sdk.ConnectionError);
    expect(error.message).toBe(`GET ${server.url}/health: no complete reply within 50 ms.`);
    expect(server.asked).toHaveLength(2);
    // Nothing is left open.
    await Promise.all(server.asked.map(({ closed }) => closed));
  });

  test("of one call, also for a token that does not come", async () => {
    const { server, pb } = await against({ token: () => new Promise(() => undefined), maxRetries: 0 }, ok);
    await using _ = server;
    expect(await failure(pb.me.retrieve({ timeout: 20 }))).toBeInstanceOf(sdk.TimeoutError);
    expect(server.asked).toHaveLength(0);
  });

  test("are 60 s by default", async () => {
    const { server, pb } = await against({}, ok);
    await using _ = server;
    using timers = spyOn(globalThis, "setTimeout");
    await pb.health.check();
    expect(timers.mock.calls.map(([, ms]) => ms)).toContain(60_000);
  });

  test("Infinity is none", async () => {
    const { server, pb } = await against({ timeout: Number.POSITIVE_INFINITY }, ok);
    await using _ = server;
    expect(await pb.health.check()).toEqual({ status: "ok" });
  });
});

describe("an aborted signal", () => {
  const reason = new Error("I have changed my mind");

  test("before the call: nothing is sent", async () => {
    const { server, pb } = await against({}, ok);
    await using _ = server;
    expect(await failure(pb.health.check({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(server.asked).toHaveLength(0);
  });

  test.each([
    ["while the server is silent", silent],
    ["within the body", stuck],
  ])("%s: the connection is closed", async (_name, step) => {
    const { server, pb } = await against({}, step);
    await using _ = server;
    const stop = new AbortController();
    const call = failure(pb.health.check({ signal: stop.signal }));
    const [asked] = await server.requests(1);
    stop.abort(reason);
    expect(await call).toBe(reason);
    await asked?.closed;
    expect(server.asked).toHaveLength(1);
  });

  test("between two attempts", async () => {
    const { server, pb } = await against(NEVER, killed);
    await using _ = server;
    const stop = new AbortController();
    const call = failure(pb.health.check({ signal: stop.signal }));
    const [asked] = await server.requests(1);
    await asked?.closed;
    stop.abort(reason);
    expect(await call).toBe(reason);
    expect(server.asked).toHaveLength(1);
  });

  test("while a token is awaited", async () => {
    const { server, pb } = await against({ token: () => new Promise(() => undefined) }, ok);
    await using _ = server;
    const stop = new AbortController();
    const call = failure(pb.me.retrieve({ signal: stop.signal }));
    stop.abort(reason);
    expect(await call).toBe(reason);
  });
});
