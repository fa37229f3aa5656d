import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { openModelProxy } from "../../src/agents/model-proxy.ts";
import { Secret } from "../../src/shared/secret.ts";
import type { Denied } from "../../src/spend/denials.ts";
import type { Meter } from "../../src/spend/meter.ts";
import { freeMeter } from "../harness/free-meter.ts";
import { sendRaw } from "../harness/raw-http.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { BODY, KEY, openProxyForEachTest } from "./upstream.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const { opened, post } = openProxyForEachTest();

const proxyOf = (onRefused?: (why: string) => void) => {
  const proxy = openModelProxy({
    ...{ api: "anthropic", upstream: opened.upstream.url, apiKey: new Secret(KEY), onRefused },
  });
  return { ...proxy, [Symbol.asyncDispose]: proxy.close };
};

/** The largest requests, of which the first byte is sent. */
function beginUploads(token: string) {
  const head = `POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${token}\r\nContent-Length: ${32 * 1024 * 1024}\r\n\r\n{`;
  const sockets: Socket[] = [];
  return {
    /** Each by itself may come too late to be counted before the request that finds out. */
    untilFull: () =>
      until(
        async () => {
          const socket = connect(Number(new URL(opened.proxy.url).port), "127.0.0.1", () =>
            socket.write(head),
          );
          sockets.push(socket.on("error", () => undefined));
          return (await post({ "x-api-key": token })).status === 429;
        },
        { what: "uploads that leave no room" },
      ),
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe("access", () => {
  test("the token of a live run is replaced by the key, in either header", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    for (const headers of [{ "x-api-key": token }, { authorization: `Bearer ${token}` }]) {
      const reply = await post({ ...headers, "anthropic-version": "2023-06-01" }, "/v1/messages?beta=true");
      expect(await reply.json()).toEqual({ ok: true });
    }
    expect(opened.upstream.seen).toHaveLength(2);
    for (const { path, headers, body } of opened.upstream.seen) {
      expect(path).toBe("/prefix/v1/messages?beta=true");
      expect(headers.get("x-api-key")).toBe(KEY);
      expect(headers.get("anthropic-version")).toBe("2023-06-01");
      expect([...headers.values()].join()).not.toContain(token);
      expect(body).toBe(BODY);
    }
  });

  test.each([
    ["no token", undefined],
    ["another token", "run-guess"],
    ["the real key", KEY],
    ["none at all", ""],
  ])("%s is refused with an error in the API's shape", async (_name, token) => {
    opened.proxy.grant({ id: "run", meter: freeMeter });
    const reply = await post(token === undefined ? {} : { "x-api-key": token });
    expect(reply.status).toBe(401);
    expect(await reply.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    expect(opened.upstream.seen).toHaveLength(0);
  });

  test("what is refused without a look at its costs is counted, by its reason", async () => {
    const refused: string[] = [];
    await using proxy = proxyOf((why) => refused.push(why));
    const { token } = proxy.grant({ id: "run", meter: freeMeter });
    const ask = async (path: string, headers: Record<string, string> = {}) => {
      const init = { method: "POST", headers: { "x-api-key": token, ...headers }, body: BODY };
      return (await fetch(`${proxy.url}${path}`, init)).status;
    };
    expect(await ask("/v1/messages")).toBe(200);
    expect(refused).toEqual([]);
    expect([
      await ask("/v1/messages", { "x-api-key": "run-guess" }),
      await ask("/v1/messages/batches"),
      await ask("/v1/messages", { "content-encoding": "gzip" }),
    ]).toEqual([401, 404, 400]);
    expect(refused).toEqual(["token", "invalid", "invalid"]);
  });

  test("a revoked token is refused, another run's is not", async () => {
    const [one, other] = [
      opened.proxy.grant({ id: "one", meter: freeMeter }),
      opened.proxy.grant({ id: "other", meter: freeMeter }),
    ];
    one.revoke();
    one.revoke();
    expect((await post({ "x-api-key": one.token })).status).toBe(401);
    expect((await post({ "x-api-key": other.token })).status).toBe(200);
  });

  test.each(["/v1/files", "/v1/organizations/me", "/v1/messages/batches", "/v1/messages/../files", "/"])(
    "%s is not forwarded",
    async (path) => {
      const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
      expect((await post({ "x-api-key": token }, path)).status).toBe(404);
      expect(opened.upstream.seen).toHaveLength(0);
    },
  );

  test("HTTP/1.0 needs no Host, and a malformed one is refused in the API's shape", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const headers = `X-Api-Key: ${token}\r\nContent-Length: ${BODY.length}`;
    const send = (version: string, host: string) =>
      sendRaw(opened.proxy.url, `POST /v1/messages HTTP/${version}\r\n${host}${headers}\r\n\r\n${BODY}`);
    expect((await send("1.0", ""))?.status).toBe(200);
    const refused = await send("1.1", "Host: a b\r\n");
    expect(refused?.status).toBe(400);
    expect(JSON.parse(String(refused?.body))).toMatchObject({ error: { type: "invalid_request_error" } });
    expect(opened.upstream.seen).toHaveLength(1);
  });

  test("a redirect is not followed", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    opened.upstream.answer(() => Response.redirect(`${opened.upstream.url}/elsewhere`, 307));
    expect((await post({ "x-api-key": token }, "/v1/messages", { redirect: "manual" })).status).toBe(307);
    expect(opened.upstream.seen).toHaveLength(1);
  });
});

describe("headers", () => {
  test("what an agent has compressed is refused: nobody could say what it may cost", async () => {
    const headers = {
      "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token,
      "content-encoding": "gzip",
    };
    const refused = await post(headers, "/v1/messages", { body: Bun.gzipSync(Buffer.from(BODY)) });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      error: { type: "invalid_request_error", message: expect.stringContaining("compressed") },
    });
    expect(opened.upstream.seen).toHaveLength(0);
  });

  /** Cause: Expect, which this proxy has answered, was sent on; an API that knows none refuses the request. */
  test("those between an agent and the proxy are not forwarded", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const lines = [
      "Host: x",
      `X-Api-Key: ${token}`,
      "Connection: x-mine",
      "X-Mine: 1",
      "TE: trailers",
      "Keep-Alive: 1",
    ];
    const head = [...lines, `Content-Length: ${BODY.length}`].join("\r\n");
    await sendRaw(opened.proxy.url, `POST /v1/messages HTTP/1.1\r\n${head}\r\n\r\n${BODY}`);
    await post({ "x-api-key": token, expect: "100-continue" });
    expect(opened.upstream.seen).toHaveLength(2);
    for (const { headers } of opened.upstream.seen) {
      for (const name of ["expect", "x-mine", "te", "keep-alive"])
        expect([name, headers.get(name)]).toEqual([name, null]);
      expect(headers.get("host")).toBe(new URL(opened.upstream.url).host);
    }
  });

  /** Cause: an agent learned from Anthropic's answers whose account it works on, and from the others not. */
  test("an answer does not say on whose account it is", async () => {
    const names = ["anthropic-organization-id", "openai-organization", "openai-project", "set-cookie"];
    const told = Object.fromEntries(names.map((name) => [name, "ours"]));
    opened.upstream.answer(() => Response.json({}, { headers: { ...told, "request-id": "r" } }));
    const { headers } = await post({
      "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token,
    });
    for (const name of names) expect([name, headers.get(name)]).toEqual([name, null]);
    expect(headers.get("request-id")).toBe("r");
  });
});

describe("errors and limits", () => {
  test("the API's errors are forwarded, with the headers for a retry", async () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "busy" } };
    opened.upstream.answer(() => Response.json(error, { status: 529, headers: { "retry-after": "7" } }));
    const reply = await post({ "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token });
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([529, "7"]);
    expect(await reply.json()).toEqual(error);
  });

  test("an unreachable API is a 502 in the API's shape", async () => {
    await opened.upstream.stop();
    const reply = await post({ "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token });
    expect(reply.status).toBe(502);
    expect(await reply.json()).toMatchObject({ type: "error", error: { type: "api_error" } });
  });

  /** Cause: Codex prints what it was answered, and says that it is done: a run without money was Completed. */
  test("says why all calls of a run are refused, and no longer once one was answered", async () => {
    const denials: (Denied | undefined)[] = [];
    const meter: Meter = { begin: async (request) => denials.shift() ?? freeMeter.begin(request) };
    const refused: string[] = [];
    await using proxy = proxyOf((why) => refused.push(why));
    const grant = proxy.grant({ id: "run", meter });
    const call = async (denied?: Denied) => {
      denials.push(denied);
      const reply = await fetch(`${proxy.url}/v1/messages`, {
        ...{ method: "POST", headers: { "x-api-key": grant.token }, body: BODY },
      });
      await reply.text();
      return reply.status;
    };
    const model: Denied = { denied: "model", message: "Not this model." };
    expect(await call(model)).toBe(403);
    expect(grant.denied()).toEqual(model);
    expect(await call()).toBe(200);
    expect(grant.denied()).toBeUndefined();
    // Of a helper, such as for a title.
    expect(await call(model)).toBe(403);
    expect(grant.denied()).toBeUndefined();
    const used = { scope: "run", most: 1, spent: 1, amount: 1, until: undefined } as const;
    const budget: Denied = { denied: "budget", message: "Used up.", budget: used };
    expect(await call(budget)).toBe(402);
    expect(grant.denied()).toEqual(budget);
    // Without asking again.
    expect(await call()).toBe(402);
    expect(refused).toEqual(["budget"]);
  });

  /** Cause: what the open calls of a run had cost was on its way only after its settling had been awaited. */
  test("what open calls cost is known when a run's access has ended, whoever still reads", async () => {
    opened.upstream.answer(
      () => new Response(new ReadableStream({ start: (one) => one.enqueue(Buffer.from("first")) })),
    );
    const ended: string[] = [];
    let stored = Promise.withResolvers<void>();
    const meter: Meter = {
      begin: async () => ({
        ...{ answered: () => undefined, push: () => undefined },
        async end(how) {
          ended.push(how);
          await stored.promise;
        },
      }),
    };
    for (const how of ["revoke", "close"] as const) {
      stored = Promise.withResolvers();
      await using proxy = proxyOf();
      const grant = proxy.grant({ id: "run", meter });
      const init = { method: "POST", headers: { "x-api-key": grant.token }, body: BODY };
      const reply = await fetch(`${proxy.url}/v1/messages`, init);
      expect(reply.status).toBe(200);
      if (how === "revoke") grant.revoke();
      else void proxy.close();
      expect(ended.splice(0)).toEqual(["broken"]);
      let isSettled = false;
      const settled = grant.settled().then(() => {
        isSettled = true;
      });
      await Promise.resolve();
      expect(isSettled).toBe(false);
      stored.resolve();
      await settled;
    }
  });

  test("one run cannot fill memory with waiting requests; other runs are not affected", async () => {
    const asked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const go = Promise.withResolvers<void>();
    opened.upstream.answer(() => {
      asked[opened.upstream.seen.length - 1]?.resolve();
      return go.promise.then(() => new Response());
    });
    const headers = { "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token };
    const large = { body: new Uint8Array(32 * 1024 * 1024) };
    const waiting = [post(headers, "/v1/messages", large), post(headers, "/v1/messages", large)];
    await Promise.all(asked.map((one) => one.promise));
    expect((await post(headers)).status).toBe(429);
    go.resolve();
    expect(
      (await post({ "x-api-key": opened.proxy.grant({ id: "other", meter: freeMeter }).token })).status,
    ).toBe(200);
    for (const reply of waiting) expect((await reply).status).toBe(200);
    expect((await post(headers)).status).toBe(200);
  });

  /** Cause: Bun's fetch keeps a body until the answer's end; ten open answers to the largest requests kept 650 MB. */
  test("a request counts until its answer has ended, or its client has left", async () => {
    const ends: (() => void)[] = [];
    const open = () =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(Buffer.from("first\n"));
            ends.push(() => controller.close());
          },
        }),
      );
    opened.upstream.answer(open);
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const headers = { "x-api-key": token };
    const leave = new AbortController();
    const large = { body: new Uint8Array(32 * 1024 * 1024) };
    const one = await post(headers, "/v1/messages", large);
    const two = await post(headers, "/v1/messages", { ...large, signal: leave.signal });
    opened.upstream.answer(() => new Response());
    expect((await post(headers)).status).toBe(429);
    ends[0]?.();
    expect(await one.text()).toBe("first\n");
    expect((await post(headers)).status).toBe(200);
    using upload = beginUploads(token);
    await upload.untilFull();
    leave.abort();
    await until(async () => (await post(headers)).status === 200, { what: "room for a request" });
    await expect(two.text()).rejects.toThrow();
  });

  test("what a client that has stopped reading leaves behind is not counted for ever", async () => {
    const chunk = new Uint8Array(64 * 1024);
    let chunks = 0;
    opened.upstream.answer(
      () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull(controller) {
              chunks += 1;
              controller.enqueue(chunk);
            },
          }),
        ),
    );
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const headers = { "x-api-key": token };
    using upload = beginUploads(token);
    const stalled = connect(Number(new URL(opened.proxy.url).port), "127.0.0.1");
    stalled.pause().on("error", () => undefined);
    const size = 32 * 1024 * 1024;
    stalled.write(
      `POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${token}\r\nContent-Length: ${size}\r\n\r\n`,
    );
    stalled.write(new Uint8Array(size));
    let before = 0;
    const stopped = () => {
      const isSame = chunks > 0 && chunks === before;
      before = chunks;
      return isSame;
    };
    await until(stopped, { what: "a proxy that waits for its client", everyMs: 200 });
    opened.upstream.answer(() => new Response());
    await upload.untilFull();
    stalled.destroy();
    await until(async () => (await post(headers)).status === 200, { what: "room for a request" });
  });

  test("what was never sent whole is not counted for ever", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const headers = { "x-api-key": token };
    const upload = beginUploads(token);
    await upload.untilFull();
    upload[Symbol.dispose]();
    await until(async () => (await post(headers)).status === 200, { what: "the end of the uploads" });
  });

  test("a body over the API's limit is refused before it is read", async () => {
    const reply = await post(
      { "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token },
      "/v1/messages",
      {
        body: new Uint8Array(32 * 1024 * 1024 + 1),
      },
    );
    expect(reply.status).toBe(413);
    expect(opened.upstream.seen).toHaveLength(0);
  });
});
