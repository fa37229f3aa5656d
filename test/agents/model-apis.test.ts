import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ModelApi } from "../../src/db/columns.ts";
import { freeMeter } from "../harness/free-meter.ts";
import { sendRaw } from "../harness/raw-http.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { BODY, KEY, openProxyForEachTest } from "./upstream.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** Bytes that neither are JSON nor text, so that a proxy that reads them changes them. */
const BYTES = Uint8Array.from({ length: 512 }, (_, at) => at % 256);
const EVENTS = 'event: response.created\ndata: {"type":"response.created"}\r\n\r\ndata:[DONE]\n\n';
const GENERATE = "/v1beta/models/gemini-2.5-pro:generateContent";

type Sent = Record<string, string>;
interface Style {
  /** Where the upstream, whose base URL ends with /prefix, gets what agents send to this path. */
  paths: readonly (readonly [sent: string, received: string])[];
  /** Each place where an agent may have its token: headers, and what the query gets. */
  places: readonly ((token: string) => { headers: Sent; query?: string })[];
  key: (headers: Headers) => string | null;
  unauthorized: object;
  unavailable: object;
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

const STYLES: Readonly<Record<ModelApi, Style>> = {
  anthropic: {
    paths: [
      ["/v1/messages", "/prefix/v1/messages"],
      ["/v1/messages/count_tokens", "/prefix/v1/messages/count_tokens"],
    ],
    places: [(token) => ({ headers: { "x-api-key": token } }), bearer],
    key: (headers) => headers.get("x-api-key"),
    unauthorized: { type: "error", error: { type: "authentication_error" } },
    unavailable: { type: "error", error: { type: "api_error" } },
  },
  openai: {
    // Its base URL has the version already.
    paths: [
      ["/v1/chat/completions", "/prefix/chat/completions"],
      ["/v1/responses", "/prefix/responses"],
      ["/v1/responses/compact", "/prefix/responses/compact"],
    ],
    places: [bearer],
    key: (headers) => headers.get("authorization")?.replace("Bearer ", "") ?? null,
    unauthorized: { error: { type: "invalid_request_error", code: "invalid_api_key", param: null } },
    unavailable: { error: { type: "server_error", code: null } },
  },
  google: {
    paths: ["generateContent", "streamGenerateContent", "countTokens"].map((method) => {
      const path = `/v1beta/models/gemini-2.5-pro:${method}`;
      return [path, `/prefix${path}`] as const;
    }),
    places: [
      (token) => ({ headers: { "x-goog-api-key": token } }),
      (token) => ({ headers: {}, query: `key=${token}` }),
      bearer,
    ],
    key: (headers) => headers.get("x-goog-api-key"),
    unauthorized: { error: { code: 401, status: "UNAUTHENTICATED" } },
    unavailable: { error: { code: 502, status: "UNAVAILABLE" } },
  },
};
const APIS = Object.keys(STYLES) as ModelApi[];

describe.each(APIS)("the API of %s", (api) => {
  const { opened, post } = openProxyForEachTest(api);
  const { paths, places, key, unauthorized, unavailable } = STYLES[api];
  const [[path]] = paths as [readonly [string, string]];
  const granted = () =>
    places[0]?.(opened.proxy.grant({ id: "run", meter: freeMeter }).token) ?? { headers: {} };

  test("forwards each operation byte for byte, with the key in its place and the token nowhere", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    opened.upstream.answer(async () => new Response(BYTES, { headers: { "x-request-id": "r-1" } }));
    for (const [sent] of paths)
      for (const place of places) {
        const { headers, query = "" } = place(token);
        const reply = await post(headers, `${sent}?a=%2B+%zz&${query}&alt=sse`, { body: BYTES });
        expect([reply.status, reply.headers.get("x-request-id")]).toEqual([200, "r-1"]);
        expect(await reply.bytes()).toEqual(BYTES);
      }
    expect(opened.upstream.seen.map((one) => one.path)).toEqual(
      paths.flatMap(([, received]) => places.map(() => `${received}?a=%2B+%zz&alt=sse`)),
    );
    for (const { headers, path, bytes } of opened.upstream.seen) {
      expect(key(headers)).toBe(KEY);
      expect(bytes).toEqual(BYTES);
      expect(`${path} ${[...headers.values()].join()}`).not.toContain(token);
      // In one place only.
      expect([...headers.values()].filter((value) => value.includes(KEY))).toHaveLength(1);
    }
  });

  test("streams events as they were sent", async () => {
    opened.upstream.answer(
      () => new Response(EVENTS, { headers: { "content-type": "text/event-stream; charset=utf-8" } }),
    );
    const reply = await post(granted().headers, path);
    expect(reply.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(await reply.text()).toBe(EVENTS);
  });

  test("refuses other tokens, and says so in its own shape; the key is no token, and is in no reply", async () => {
    opened.proxy.grant({ id: "run", meter: freeMeter });
    for (const token of ["run-guess", "", KEY])
      for (const place of places) {
        const { headers, query = "" } = place(token);
        const reply = await post(headers, `${path}?${query}`);
        expect(reply.status).toBe(401);
        const text = await reply.text();
        expect(JSON.parse(text)).toMatchObject(unauthorized);
        expect(text).not.toContain(KEY);
      }
    expect(opened.upstream.seen).toEqual([]);
  });

  test("does not have the operations of the other APIs, nor other methods", async () => {
    const { headers } = granted();
    const others = APIS.filter((one) => one !== api).flatMap((one) =>
      STYLES[one].paths.map(([sent]) => sent),
    );
    for (const other of others) expect((await post(headers, other)).status).toBe(404);
    for (const method of ["GET", "PUT", "DELETE"])
      expect((await post(headers, path, { method, body: null })).status).toBe(404);
    expect((await post(headers, "/v1/models", { method: "GET", body: null })).status).toBe(404);
    expect(opened.upstream.seen).toEqual([]);
  });

  test("takes no token from the place of another API", async () => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const mine = places.map((place) => JSON.stringify(place("t")));
    for (const place of APIS.flatMap((one) => STYLES[one].places)) {
      if (mine.includes(JSON.stringify(place("t")))) continue;
      const { headers, query = "" } = place(token);
      expect((await post(headers, `${path}?${query}`)).status).toBe(401);
    }
    expect(opened.upstream.seen).toEqual([]);
  });

  test("does not follow a redirect, and says in its own shape that the API is away", async () => {
    const { headers } = granted();
    opened.upstream.answer(() => Response.redirect(`${opened.upstream.url}/elsewhere`, 307));
    expect((await post(headers, path, { redirect: "manual" })).status).toBe(307);
    expect(opened.upstream.seen).toHaveLength(1);
    await opened.upstream.stop();
    const reply = await post(headers, path);
    expect(reply.status).toBe(502);
    expect(await reply.json()).toMatchObject(unavailable);
  });

  test("refuses a WebSocket with 426, after which clients use HTTP", async () => {
    const { headers } = granted();
    const head = [
      ...[`GET ${path} HTTP/1.1`, "Host: x", "Connection: Upgrade", "Upgrade: websocket"],
      ...["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ];
    const reply = await sendRaw(opened.proxy.url, `${head.join("\r\n")}\r\n\r\n`);
    expect(reply?.status).toBe(426);
    expect(String(reply?.body)).toContain("WebSockets are not available");
    expect(opened.upstream.seen).toEqual([]);
  });

  test("an agent cannot choose on whose account it works, nor another method", async () => {
    const asked = {
      ...{ "openai-organization": "org-1", "openai-project": "p-1", "x-goog-user-project": "p-1" },
      ...{ "x-http-method-override": "DELETE", cookie: "a=b", "api-key": "k" },
    };
    await post({ ...granted().headers, ...asked }, `${path}?access_token=t&%24key=k&KEY=k&b%65ta=1&k%65y=k`);
    const [{ headers, path: received } = { headers: new Headers(), path: "" }] = opened.upstream.seen;
    for (const name of Object.keys(asked)) expect(headers.get(name)).toBeNull();
    expect(received).toEndWith("?b%65ta=1");
  });
});

describe("paths of Google's API", () => {
  const { opened } = openProxyForEachTest("google");

  test.each([
    "/v1beta/models/../..",
    "/v1beta/models/../files:generateContent",
    "/v1beta/models/%2e%2e/files:generateContent",
    "/v1beta/models/a%2f..%2f..%2ffiles:generateContent",
    "/v1beta/models/a/b:generateContent",
    "/v1beta/models/..:generateContent",
    "/v1beta/models/a%3agenerateContent",
    "/v1beta/models/:generateContent",
    "/v1beta/models/a:batchGenerateContent",
    "/v1beta/models/a:generateContent/",
    "/v1beta/models/a:generateContent%0a",
    "/v1beta/models/a\\b:generateContent",
    "/v1beta//models/a:generateContent",
    "/v1beta/tunedModels/a:generateContent",
    "/v1/models/a:generateContent",
    "/v1beta/files",
    "/v1beta/cachedContents",
    `/v1beta/models/${"a".repeat(200)}:generateContent`,
  ])("%s is not forwarded", async (path) => {
    const { token } = opened.proxy.grant({ id: "run", meter: freeMeter });
    const send = (target: string) =>
      sendRaw(
        opened.proxy.url,
        `POST ${target} HTTP/1.1\r\nHost: x\r\nX-Goog-Api-Key: ${token}\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
      );
    expect((await send(path))?.status).toBe(404);
    expect(opened.upstream.seen).toEqual([]);
    expect((await send(GENERATE))?.status).toBe(200);
  });
});
