import { expect, test } from "bun:test";
import { listen } from "../../src/server/listen.ts";
import { makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

const ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const JSON_TYPE = { "content-type": "application/json" };
const good = { repo: "owner/name", target_branch: "main", messages: "go" };
const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const withMessages = (text: string) => `{"repo":"owner/name","target_branch":"main","messages":${text}}`;
const prompt = (data: string) => `{"session_id":"${ID}","data":${data}}`;
const MIB = 1024 * 1024;

interface Case {
  name: string;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer> | ReadableStream;
  expected: [status: number, err: string, code?: string];
}

const CASES: readonly Case[] = [
  { name: "malformed JSON", body: "{nonsense", expected: [400, "bad_request", "malformed_json"] },
  {
    name: "a truncated document",
    body: withMessages('"a'),
    expected: [400, "bad_request", "malformed_json"],
  },
  { name: "invalid UTF-8", body: new Uint8Array([0x22, 0xc3, 0x28, 0x22]), expected: [400, "bad_request"] },
  {
    name: "a form",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "repo=owner/name",
    expected: [415, "unsupported_media_type"],
  },
  ...["gzip", "br", "deflate", "zstd", "identity, gzip"].map((encoding) => ({
    name: `a body of ${encoding}`,
    headers: { "content-encoding": encoding },
    body: Bun.gzipSync(JSON.stringify(good)),
    expected: [415, "unsupported_media_type", "unsupported_content_encoding"] as Case["expected"],
  })),
  {
    name: "JSON sent as text",
    headers: { "content-type": "text/plain" },
    body: JSON.stringify(good),
    expected: [415, "unsupported_media_type"],
  },
  {
    name: "a multipart form",
    headers: { "content-type": "multipart/form-data; boundary=x" },
    body: "--x--",
    expected: [415, "unsupported_media_type"],
  },
  { name: "no body", expected: [422, "invalid"] },
  { name: "null", body: "null", expected: [422, "invalid"] },
  { name: "a list", body: "[]", expected: [422, "invalid"] },
  { name: "a missing field", body: '{"target_branch":"main"}', expected: [422, "invalid"] },
  { name: "a wrong type", body: JSON.stringify({ ...good, repo: 7 }), expected: [422, "invalid"] },
  {
    name: "no text",
    body: JSON.stringify({ ...good, messages: [] }),
    expected: [422, "invalid", "prompt_empty"],
  },
  {
    name: "a repository that git would execute",
    body: JSON.stringify({ ...good, repo: "ext::sh -c id" }),
    expected: [422, "invalid", "invalid_repo"],
  },
  {
    name: "a branch that is an option",
    body: JSON.stringify({ ...good, target_branch: "--upload-pack=x" }),
    expected: [422, "invalid", "invalid_branch"],
  },
  {
    name: "64 levels are accepted",
    path: "/prompts",
    body: prompt(`{"text":"x","more":${deep(62)}}`),
    expected: [404, "not_found", "session_not_found"],
  },
  {
    name: "65 levels",
    path: "/prompts",
    body: prompt(`{"text":"x","more":${deep(63)}}`),
    expected: [422, "invalid"],
  },
  { name: "half a million levels", body: deep(500_000), expected: [422, "invalid"] },
  { name: "NUL in a text", body: withMessages('"a\\u0000b"'), expected: [422, "invalid"] },
  {
    name: "NUL in a name",
    body: withMessages('[{"content":"x","a\\u0000b":1}]'),
    expected: [422, "invalid"],
  },
  { name: "an unpaired surrogate", body: withMessages('"a\\ud800b"'), expected: [422, "invalid"] },
  {
    name: "an unpaired surrogate in a name",
    body: withMessages('[{"content":"x","\\udc00":1}]'),
    expected: [422, "invalid"],
  },
  { name: "NUL in the query", method: "GET", path: "/sessions?q=%00", expected: [422, "invalid"] },
  {
    name: "too large",
    body: JSON.stringify({ ...good, messages: "x".repeat(MIB) }),
    expected: [413, "too_large"],
  },
  { name: "a bad UUID", method: "GET", path: "/sessions/not-a-uuid", expected: [422, "invalid"] },
  { name: "a UUID as a URN", method: "GET", path: `/sessions/urn:uuid:${ID}`, expected: [422, "invalid"] },
  { name: "a broken escape", method: "GET", path: "/sessions/%zz", expected: [422, "invalid"] },
  {
    name: "an unknown session",
    method: "GET",
    path: `/sessions/${ID}`,
    expected: [404, "not_found", "session_not_found"],
  },
  { name: "an unknown route", method: "GET", path: "/nowhere", expected: [404, "not_found"] },
];

describeEachDatabase("bad requests", (database) => {
  const ask = async (
    { method = "POST", path = "/sessions/with-prompt", headers, body }: Case,
    send: (request: Request) => Promise<Response>,
    base = "http://localhost",
  ) => {
    const reply = await send(
      new Request(`${base}${path}`, {
        method,
        headers: { authorization: "Bearer alice", ...(body !== undefined && JSON_TYPE), ...headers },
        ...(body !== undefined && { body }),
      }),
    );
    const text = await reply.text();
    return { status: reply.status, headers: reply.headers, text };
  };

  test.each(CASES.map((one) => [one.name, one] as const))("%s", async (_name, one) => {
    const app = makeApp({ database: database() });
    const { status, headers, text } = await ask(one, (request) => app.handle(request));
    const body = JSON.parse(text);
    const [wanted, err, specific = err] = one.expected;
    expect([status, body]).toEqual([
      wanted,
      {
        err,
        msg: expect.any(String),
        code: specific,
        request_id: headers.get("x-request-id"),
      },
    ]);
    expect(headers.get("accept-encoding")).toBe(
      specific === "unsupported_content_encoding" ? "identity" : null,
    );
    expect(body.msg.length).toBeLessThan(300);
    expect(body.msg).not.toMatch(/select|insert|postgres|stack|at \w+\.ts/i);
  });

  test("the wrong method is 405 with the allowed ones", async () => {
    const app = makeApp({ database: database() });
    for (const [method, path, allow] of [
      ["PATCH", "/sessions", "GET, HEAD, POST"],
      ["PATCH", "/sessions/", "GET, HEAD, POST"],
      ["DELETE", "/prompts", "POST"],
      ["PATCH", `/prompts/${ID}/messages`, "GET, HEAD"],
    ] as const) {
      const { status, headers, text } = await ask(
        { name: "", method, path, expected: [405, ""] },
        (request) => app.handle(request),
      );
      expect([path, status, headers.get("allow"), JSON.parse(text).code]).toEqual([
        path,
        405,
        allow,
        "method_not_allowed",
      ]);
    }
  });

  test("401 comes before the body is checked", async () => {
    const app = makeApp({ database: database() });
    for (const one of CASES.filter(({ method, expected }) => method === undefined && expected[0] !== 413)) {
      const { status } = await ask(
        { ...one, headers: { ...one.headers, authorization: "Bearer bad" } },
        (request) => app.handle(request),
      );
      expect([one.name, status]).toEqual([one.name, 401]);
    }
  });

  test("chunked bodies are limited, too", async () => {
    const server = await listen({ app: makeApp({ database: database() }), host: "127.0.0.1", port: 0 });
    try {
      // Prompts may have attachments.
      for (const [path, size] of [
        ["/messages", 1.5 * MIB],
        ["/messages", 4 * MIB],
        ["/sessions", 29.5 * MIB],
      ] as const) {
        const body = new ReadableStream({
          async start(controller) {
            for (let sent = 0; sent < size; sent += 65_536)
              controller.enqueue(new Uint8Array(65_536).fill(0x20));
            controller.close();
          },
        });
        const { status, text } = await ask({ name: "", path, body, expected: [413, ""] }, fetch, server.url);
        expect([size, status, JSON.parse(text).code]).toEqual([size, 413, "too_large"]);
      }
    } finally {
      await server.stop();
    }
  });
});
