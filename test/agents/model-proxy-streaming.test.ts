import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { freeMeter } from "../harness/free-meter.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { openProxyForEachTest } from "./upstream.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const SRC = join(import.meta.dir, "../../src");

const { opened, post } = openProxyForEachTest();

/** A streamed response that the test writes piece by piece, and a promise that resolves when its reader leaves. */
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

describe("streaming", () => {
  test("each part is forwarded as it arrives", async () => {
    const stream = openStream();
    opened.upstream.answer(stream.response);
    const reply = await post({ "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token });
    const reader = reply.body?.getReader();
    if (!reader) throw new Error("no body");
    // Nothing more is written until the first part has arrived: a buffering proxy would wait forever.
    expect(await next(reader)).toBe("first\n");
    stream.write("second\n");
    expect(await next(reader)).toBe("second\n");
    stream.end();
    expect((await reader.read()).done).toBe(true);
  });

  test("a client that disconnects aborts the upstream request", async () => {
    const stream = openStream();
    opened.upstream.answer(stream.response);
    const leave = new AbortController();
    const reply = await post(
      { "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token },
      "/v1/messages",
      {
        signal: leave.signal,
      },
    );
    const reader = reply.body?.getReader();
    if (reader) await next(reader);
    leave.abort();
    await stream.left;
  });

  test("a client that disconnects before the response aborts the upstream request, too", async () => {
    const [asked, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    opened.upstream.answer((request) => {
      request.signal.addEventListener("abort", () => left.resolve());
      asked.resolve();
      return left.promise.then(() => new Response());
    });
    const leave = new AbortController();
    const headers = { "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token };
    const reply = post(headers, "/v1/messages", { signal: leave.signal }).catch(() => "gone");
    await asked.promise;
    leave.abort();
    expect(await reply).toBe("gone");
    await left.promise;
  });

  test("revoking a token aborts requests in flight", async () => {
    const stream = openStream();
    opened.upstream.answer(stream.response);
    const grant = opened.proxy.grant({ id: "run", meter: freeMeter });
    const reply = await post({ "x-api-key": grant.token });
    const reader = reply.body?.getReader();
    if (reader) await next(reader);
    grant.revoke();
    await stream.left;
  });

  test("a compressed response is decoded", async () => {
    const packed = Bun.gzipSync(Buffer.from('{"packed":true}'));
    opened.upstream.answer(() => new Response(packed, { headers: { "content-encoding": "gzip" } }));
    const reply = await post({ "x-api-key": opened.proxy.grant({ id: "run", meter: freeMeter }).token });
    expect(await reply.json()).toEqual({ packed: true });
  });
});

/** Waits for the model as long as a request beside it, of plain fetch, is let wait; and says what became of both. */
const SILENT = `
  const { openModelProxy } = await import(${JSON.stringify(join(SRC, "agents/model-proxy.ts"))});
  const { Secret } = await import(${JSON.stringify(join(SRC, "shared/secret.ts"))});
  const [asked, answer] = [Promise.withResolvers(), Promise.withResolvers()];
  const upstream = Bun.serve({
    hostname: "127.0.0.1", port: 0, idleTimeout: 0,
    async fetch(request) {
      if (new URL(request.url).pathname !== "/control") asked.resolve();
      await answer.promise;
      return Response.json({ ok: true });
    },
  });
  const url = "http://127.0.0.1:" + upstream.port;
  const proxy = openModelProxy({ api: "anthropic", upstream: url, apiKey: new Secret("k") });
  const { freeMeter } = await import(${JSON.stringify(join(import.meta.dir, "../harness/free-meter.ts"))});
  const { token, trouble } = proxy.grant({ id: "run", meter: freeMeter });
  const headers = { "x-api-key": token };
  const reply = fetch(proxy.url + "/v1/messages", { method: "POST", headers, body: "{}", timeout: false });
  await asked.promise;
  const control = await fetch(url + "/control").then(() => "answered", (error) => error.name);
  answer.resolve();
  const { status } = await reply;
  process.stdout.write(JSON.stringify({ control, status, trouble: trouble() }));
  process.exit(0);`;

/** Cause: Bun's fetch ends after five minutes of silence, here one second; the run was said to have no model. */
test("a model may be silent for as long as its client waits", async () => {
  const env = { PATH: process.env["PATH"] ?? "", BUN_CONFIG_HTTP_IDLE_TIMEOUT: "1" };
  const child = Bun.spawn([process.execPath, "-e", SILENT], { env, stdout: "pipe", stderr: "pipe" });
  const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(errors).toBe("");
  expect(JSON.parse(text)).toEqual({ control: "TimeoutError", status: 200 });
});
