import { afterEach, describe, expect, test } from "bun:test";
import { createForgeFetch } from "../../src/forges/bounded-fetch.ts";
import { ForgeError } from "../../src/forges/forge.ts";

const servers: { stop: () => void }[] = [];
afterEach(() => {
  for (const { stop } of servers.splice(0)) stop();
});

function serve(answer: (request: Request) => Response | Promise<Response>, signal?: AbortSignal) {
  const requests: Headers[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      // Bun empties the request's own after its reply.
      requests.push(new Headers(request.headers));
      return answer(request);
    },
  });
  servers.push({ stop: () => void server.stop(true) });
  const apiUrl = `http://127.0.0.1:${server.port}/api`;
  const send = createForgeFetch({
    apiUrl,
    headers: { "x-version": "1" },
    replyHeaders: ["retry-after"],
    signal: signal ?? new AbortController().signal,
    timeoutMs: 300,
  });
  return { requests, apiUrl, send };
}

describe("a fetch for the API of a forge", () => {
  test("sends its headers, and hands on the listed ones of a reply, whose body is JSON", async () => {
    const headers = {
      "retry-after": "5",
      "set-cookie": "a=b",
      "content-type": "text/html",
      link: "x".repeat(100),
    };
    const { requests, apiUrl, send } = serve(() => new Response('{"a":1}', { status: 202, headers }));
    const reply = await send(`${apiUrl}/x`, {
      method: "POST",
      body: "{}",
      headers: { authorization: "token abc" },
    });
    expect(requests[0]?.get("x-version")).toBe("1");
    expect(requests[0]?.get("authorization")).toBe("token abc");
    expect([reply.status, await reply.json()]).toEqual([202, { a: 1 }]);
    expect(Object.fromEntries(reply.headers)).toEqual({
      "content-type": "application/json",
      "retry-after": "5",
    });
  });

  test("leaves out a header that is too long, and a body where there can be none", async () => {
    const { apiUrl, send } = serve((request) =>
      request.url.endsWith("/none")
        ? new Response(null, { status: 204 })
        : new Response("{}", { headers: { "retry-after": "1".repeat(1_001) } }),
    );
    expect((await send(`${apiUrl}/x`)).headers.get("retry-after")).toBeNull();
    expect(await (await send(`${apiUrl}/none`)).text()).toBe("");
  });

  test.each<[string, (apiUrl: string) => [url: string, body?: string]]>([
    ["another host", () => ["http://127.0.0.1:1/api/x"]],
    ["a host in disguise", (apiUrl) => [`${apiUrl.replace("http://", "http://evil.example@")}/x`]],
    ["a path beside the API", (apiUrl) => [`${apiUrl}/../x`]],
    ["a path that only begins alike", (apiUrl) => [`${apiUrl}x/y`]],
    ["a URL that is too long", (apiUrl) => [`${apiUrl}/${"x".repeat(8_000)}`]],
    ["a body that is too large", (apiUrl) => [`${apiUrl}/x`, "x".repeat(1024 * 1024 + 1)]],
  ])("sends nothing to %s", async (_name, make) => {
    const { requests, apiUrl, send } = serve(() => new Response("{}"));
    const [url, body] = make(apiUrl);
    const error = await send(url, body === undefined ? {} : { method: "POST", body }).catch(
      (thrown) => thrown,
    );
    expect(error).toBeInstanceOf(ForgeError);
    expect((error as ForgeError).fault).toBe("invalid");
    expect(requests).toEqual([]);
  });

  test("stops reading a body without an end", async () => {
    const stopped = Promise.withResolvers<void>();
    const { apiUrl, send } = serve(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024)),
            cancel: () => stopped.resolve(),
          }),
        ),
    );
    const error = await send(`${apiUrl}/x`).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ForgeError);
    await stopped.promise;
  });

  test("waits for a reply, and for the end of one, for a limited time", async () => {
    const never = Promise.withResolvers<Response>();
    const silent = serve(() => never.promise);
    await expect(silent.send(`${silent.apiUrl}/x`)).rejects.toThrow("timed out");
    const half = serve(
      () =>
        new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) })),
    );
    await expect(half.send(`${half.apiUrl}/x`)).rejects.toThrow("broke off");
  });

  test("ends with its signal, and sends nothing after it", async () => {
    const ended = new AbortController();
    const { requests, apiUrl, send } = serve(() => {
      ended.abort(new Error("enough"));
      return new Promise<Response>(() => undefined);
    }, ended.signal);
    await expect(send(`${apiUrl}/x`)).rejects.toThrow("enough");
    await expect(send(`${apiUrl}/x`)).rejects.toThrow("enough");
    expect(requests).toHaveLength(1);
  });
});
