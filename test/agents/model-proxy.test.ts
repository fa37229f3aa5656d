import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { sendRaw } from "../harness/raw-http.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { BODY, KEY, openProxyForEachTest } from "./upstream.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const { opened, post } = openProxyForEachTest();

describe("access", () => {
  test("the token of a live run is replaced by the key, in either header", async () => {
    const { token } = opened.proxy.grant("run");
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
    opened.proxy.grant("run");
    const reply = await post(token === undefined ? {} : { "x-api-key": token });
    expect(reply.status).toBe(401);
    expect(await reply.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    expect(opened.upstream.seen).toHaveLength(0);
  });

  test("a revoked token is refused, another run's is not", async () => {
    const [one, other] = [opened.proxy.grant("one"), opened.proxy.grant("other")];
    one.revoke();
    one.revoke();
    expect((await post({ "x-api-key": one.token })).status).toBe(401);
    expect((await post({ "x-api-key": other.token })).status).toBe(200);
  });

  test.each(["/v1/files", "/v1/organizations/me", "/v1/messages/batches", "/v1/messages/../files", "/"])(
    "%s is not forwarded",
    async (path) => {
      const { token } = opened.proxy.grant("run");
      expect((await post({ "x-api-key": token }, path)).status).toBe(404);
      expect(opened.upstream.seen).toHaveLength(0);
    },
  );

  test("HTTP/1.0 needs no Host, and a malformed one is refused in the API's shape", async () => {
    const { token } = opened.proxy.grant("run");
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
    const { token } = opened.proxy.grant("run");
    opened.upstream.answer(() => Response.redirect(`${opened.upstream.url}/elsewhere`, 307));
    expect((await post({ "x-api-key": token }, "/v1/messages", { redirect: "manual" })).status).toBe(307);
    expect(opened.upstream.seen).toHaveLength(1);
  });
});

describe("errors and limits", () => {
  test("the API's errors are forwarded, with the headers for a retry", async () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "busy" } };
    opened.upstream.answer(() => Response.json(error, { status: 529, headers: { "retry-after": "7" } }));
    const reply = await post({ "x-api-key": opened.proxy.grant("run").token });
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([529, "7"]);
    expect(await reply.json()).toEqual(error);
  });

  test("an unreachable API is a 502 in the API's shape", async () => {
    await opened.upstream.stop();
    const reply = await post({ "x-api-key": opened.proxy.grant("run").token });
    expect(reply.status).toBe(502);
    expect(await reply.json()).toMatchObject({ type: "error", error: { type: "api_error" } });
  });

  test("one run cannot fill memory with waiting requests; other runs are not affected", async () => {
    const asked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const go = Promise.withResolvers<void>();
    opened.upstream.answer(() => {
      asked[opened.upstream.seen.length - 1]?.resolve();
      return go.promise.then(() => new Response());
    });
    const headers = { "x-api-key": opened.proxy.grant("run").token };
    const large = { body: new Uint8Array(32 * 1024 * 1024) };
    const waiting = [post(headers, "/v1/messages", large), post(headers, "/v1/messages", large)];
    await Promise.all(asked.map((one) => one.promise));
    expect((await post(headers)).status).toBe(429);
    go.resolve();
    expect((await post({ "x-api-key": opened.proxy.grant("other").token })).status).toBe(200);
    for (const reply of waiting) expect((await reply).status).toBe(200);
    expect((await post(headers)).status).toBe(200);
  });

  test("a body over the API's limit is refused before it is read", async () => {
    const reply = await post({ "x-api-key": opened.proxy.grant("run").token }, "/v1/messages", {
      body: new Uint8Array(32 * 1024 * 1024 + 1),
    });
    expect(reply.status).toBe(413);
    expect(opened.upstream.seen).toHaveLength(0);
  });
});
