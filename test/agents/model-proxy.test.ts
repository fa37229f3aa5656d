import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ModelProxy, openModelProxy } from "../../src/agents/model-proxy.ts";
import { Secret } from "../../src/shared/secret.ts";
import { PATIENCE_MS } from "../harness/patience.ts";

setDefaultTimeout(PATIENCE_MS);

const KEY = "sk-ant-real";
const BODY = JSON.stringify({ model: "m", messages: [] });

/** An upstream that tells what it saw and streams what the test hands it. */
function startUpstream() {
  const seen: { path: string; headers: Headers; body: string }[] = [];
  let answer: (request: Request) => Response | Promise<Response> = () => Response.json({ ok: true });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      seen.push({ path: pathname + search, headers: request.headers, body: await request.text() });
      return await answer(request);
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}/prefix`,
    seen,
    answer: (next: typeof answer) => {
      answer = next;
    },
    stop: () => server.stop(true),
  };
}

let upstream: ReturnType<typeof startUpstream>;
let proxy: ModelProxy;
beforeEach(() => {
  upstream = startUpstream();
  proxy = openModelProxy({ upstream: upstream.url, apiKey: new Secret(KEY) });
});
afterEach(async () => {
  await proxy.close();
  await upstream.stop();
});

const post = (headers: Record<string, string>, path = "/v1/messages", init: RequestInit = {}) =>
  fetch(`${proxy.url}${path}`, { method: "POST", headers, body: BODY, ...init });

/** A streamed answer that the test writes bit by bit, and a promise of its reader's leaving. */
function openStream() {
  const left = Promise.withResolvers<void>();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const response = () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start: (one) => {
          controller = one;
          one.enqueue(Buffer.from("first\n"));
        },
        cancel: () => left.resolve(),
      }),
      { headers: { "content-type": "text/event-stream" } },
    );
  return {
    response,
    left: left.promise,
    write: (text: string) => controller?.enqueue(Buffer.from(text)),
    end: () => controller?.close(),
  };
}

async function next(reader: { read(): Promise<{ value?: Uint8Array | undefined }> }): Promise<string> {
  return Buffer.from((await reader.read()).value ?? []).toString();
}

describe("access", () => {
  test("the token of a live run, either way it is sent, becomes the key", async () => {
    const { token } = proxy.grant("run");
    for (const headers of [{ "x-api-key": token }, { authorization: `Bearer ${token}` }]) {
      const reply = await post({ ...headers, "anthropic-version": "2023-06-01" }, "/v1/messages?beta=true");
      expect(await reply.json()).toEqual({ ok: true });
    }
    expect(upstream.seen).toHaveLength(2);
    for (const { path, headers, body } of upstream.seen) {
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
  ])("%s is refused in the API's own shape", async (_name, token) => {
    proxy.grant("run");
    const reply = await post(token === undefined ? {} : { "x-api-key": token });
    expect(reply.status).toBe(401);
    expect(await reply.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    expect(upstream.seen).toHaveLength(0);
  });

  test("a revoked token is refused, the other run's is not", async () => {
    const [one, other] = [proxy.grant("one"), proxy.grant("other")];
    one.revoke();
    one.revoke();
    expect((await post({ "x-api-key": one.token })).status).toBe(401);
    expect((await post({ "x-api-key": other.token })).status).toBe(200);
  });

  test.each(["/v1/files", "/v1/organizations/me", "/v1/messages/batches", "/v1/messages/../files", "/"])(
    "%s is not open",
    async (path) => {
      const { token } = proxy.grant("run");
      expect((await post({ "x-api-key": token }, path)).status).toBe(404);
      expect(upstream.seen).toHaveLength(0);
    },
  );

  test("a redirect is not followed with the key", async () => {
    const { token } = proxy.grant("run");
    upstream.answer(() => Response.redirect(`${upstream.url}/elsewhere`, 307));
    expect((await post({ "x-api-key": token }, "/v1/messages", { redirect: "manual" })).status).toBe(307);
    expect(upstream.seen).toHaveLength(1);
  });
});

describe("streaming", () => {
  test("passes each part on as it comes", async () => {
    const stream = openStream();
    upstream.answer(stream.response);
    const reply = await post({ "x-api-key": proxy.grant("run").token });
    const reader = reply.body?.getReader();
    if (!reader) throw new Error("no body");
    // Nothing more is written until the first part is here: a buffering proxy would wait for ever.
    expect(await next(reader)).toBe("first\n");
    stream.write("second\n");
    expect(await next(reader)).toBe("second\n");
    stream.end();
    expect((await reader.read()).done).toBe(true);
  });

  test("a client that leaves ends the request upstream", async () => {
    const stream = openStream();
    upstream.answer(stream.response);
    const leave = new AbortController();
    const reply = await post({ "x-api-key": proxy.grant("run").token }, "/v1/messages", {
      signal: leave.signal,
    });
    const reader = reply.body?.getReader();
    if (reader) await next(reader);
    leave.abort();
    await stream.left;
  });

  test("a client that leaves before the answer ends the request upstream too", async () => {
    const [asked, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    upstream.answer((request) => {
      request.signal.addEventListener("abort", () => left.resolve());
      asked.resolve();
      return left.promise.then(() => new Response());
    });
    const leave = new AbortController();
    const headers = { "x-api-key": proxy.grant("run").token };
    const reply = post(headers, "/v1/messages", { signal: leave.signal }).catch(() => "gone");
    await asked.promise;
    leave.abort();
    expect(await reply).toBe("gone");
    await left.promise;
  });

  test("revoking ends what is under way", async () => {
    const stream = openStream();
    upstream.answer(stream.response);
    const grant = proxy.grant("run");
    const reply = await post({ "x-api-key": grant.token });
    const reader = reply.body?.getReader();
    if (reader) await next(reader);
    grant.revoke();
    await stream.left;
  });

  test("a compressed answer arrives readable", async () => {
    const packed = Bun.gzipSync(Buffer.from('{"packed":true}'));
    upstream.answer(() => new Response(packed, { headers: { "content-encoding": "gzip" } }));
    const reply = await post({ "x-api-key": proxy.grant("run").token });
    expect(await reply.json()).toEqual({ packed: true });
  });
});

describe("trouble", () => {
  test("the API's own errors pass through, with what the client needs to retry", async () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "busy" } };
    upstream.answer(() => Response.json(error, { status: 529, headers: { "retry-after": "7" } }));
    const reply = await post({ "x-api-key": proxy.grant("run").token });
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([529, "7"]);
    expect(await reply.json()).toEqual(error);
  });

  test("an API that cannot be reached is a 502 in the API's shape", async () => {
    await upstream.stop();
    const reply = await post({ "x-api-key": proxy.grant("run").token });
    expect(reply.status).toBe(502);
    expect(await reply.json()).toMatchObject({ type: "error", error: { type: "api_error" } });
  });

  test("one run cannot fill the memory with requests that wait; another's is not touched", async () => {
    const asked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const go = Promise.withResolvers<void>();
    upstream.answer(() => {
      asked[upstream.seen.length - 1]?.resolve();
      return go.promise.then(() => new Response());
    });
    const headers = { "x-api-key": proxy.grant("run").token };
    const large = { body: new Uint8Array(32 * 1024 * 1024) };
    const waiting = [post(headers, "/v1/messages", large), post(headers, "/v1/messages", large)];
    await Promise.all(asked.map((one) => one.promise));
    expect((await post(headers)).status).toBe(429);
    go.resolve();
    expect((await post({ "x-api-key": proxy.grant("other").token })).status).toBe(200);
    for (const reply of waiting) expect((await reply).status).toBe(200);
    expect((await post(headers)).status).toBe(200);
  });

  test("a body beyond the API's own limit is refused before it is read", async () => {
    const reply = await post({ "x-api-key": proxy.grant("run").token }, "/v1/messages", {
      body: new Uint8Array(32 * 1024 * 1024 + 1),
    });
    expect(reply.status).toBe(413);
    expect(upstream.seen).toHaveLength(0);
  });
});
