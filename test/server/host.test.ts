import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { replyHeaders } from "../../src/server/headers.ts";
import { listen } from "../../src/server/listen.ts";
import { metricsApp } from "../../src/server/metrics.ts";
import { makeApp, nameIsToken, userNamed } from "../harness/app.ts";
import { noMetrics } from "../harness/metrics.ts";
import { sendRaw } from "../harness/raw-http.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const UI = "https://ui.example.com";
const open = (env: Record<string, string>) => {
  const all = { CORS_ORIGINS: UI, ...env };
  const verifier = { ...nameIsToken, ...(env["AUTH_MODE"] === "none" && { anonymous: userNamed("local") }) };
  const app = makeApp({ env: all, verifier });
  return listen({ app, host: "127.0.0.1", port: 0, headersOf: replyHeaders(readConfig(all)) });
};
type Listening = Awaited<ReturnType<typeof open>>;

const PATHS = ["/health", "/openapi.json", "/swagger-ui/"];
const MALFORMED = [
  "a b",
  "x_y:99999",
  "x, y",
  "x,y",
  "localhost/x",
  "localhost?x",
  "localhost#x",
  "u@localhost",
  "localhost\\x",
  "[::1",
  ":80",
  "\xff\xfe",
];

describe.each([
  ["on loopback", {}],
  ["on all addresses", { AUTH_MODE: "local", HOST: "0.0.0.0" }],
])("a server %s", (_where, env) => {
  let server: Listening;
  beforeAll(async () => {
    server = await open(env);
  });
  afterAll(() => server.stop());
  const status = async (text: string) => (await sendRaw(server.url, text))?.status;

  test.each(PATHS)("answers HTTP/1.0 without a Host at %s", async (path) => {
    expect(await status(`GET ${path} HTTP/1.0\r\n\r\n`)).toBe(200);
    expect(await status(`GET ${path} HTTP/1.0\r\nHost:\r\n\r\n`)).toBe(200);
    expect(await status(`GET ${path} HTTP/1.1\r\nHost: \r\n\r\n`)).toBe(200);
  });

  test.each(MALFORMED)("refuses Host: %p", async (host) => {
    for (const path of PATHS) {
      const reply = await sendRaw(
        server.url,
        `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${UI}\r\nX-Request-Id: mine\r\n\r\n`,
      );
      expect(reply?.status).toBe(400);
      expect(JSON.parse(String(reply?.body))).toEqual({
        err: "bad_request",
        code: "bad_request",
        msg: expect.stringContaining("Host"),
        request_id: "mine",
      });
      expect(reply?.headers.get("access-control-allow-origin")).toBe(UI);
      expect(reply?.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  test("refuses two Hosts, whichever is first", async () => {
    for (const [one, other] of [
      ["localhost", "evil.example.com"],
      ["evil.example.com", "localhost"],
    ])
      expect(await status(`GET /health HTTP/1.1\r\nHost: ${one}\r\nHost: ${other}\r\n\r\n`)).toBe(400);
  });

  test("a path is never taken for a host", async () => {
    expect(await status("GET //evil.example.com/health HTTP/1.0\r\n\r\n")).toBe(404);
    expect(await status("CONNECT evil.example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")).toBe(400);
  });
});

describe("DNS rebinding", () => {
  test.each([{ AUTH_MODE: "local" }, { AUTH_MODE: "none" }])("is refused with %p", async (env) => {
    const server = await open(env);
    const status = async (text: string) => (await sendRaw(server.url, text))?.status;
    try {
      for (const version of ["1.0", "1.1"]) {
        expect(await status(`GET /health HTTP/${version}\r\nHost: evil.example.com\r\n\r\n`)).toBe(403);
        expect(
          await status(`GET http://localhost/health HTTP/${version}\r\nHost: evil.example.com\r\n\r\n`),
        ).toBe(403);
      }
      // Without a Host, a page is still known by its Origin.
      const origin = "Origin: http://evil.example.com";
      const post = `POST /sessions HTTP/1.0\r\n${origin}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
      expect(await status(post)).toBe(env.AUTH_MODE === "none" ? 403 : 401);
      const read = await sendRaw(server.url, `GET /health HTTP/1.0\r\n${origin}\r\n\r\n`);
      expect(read?.headers.get("access-control-allow-origin")).toBeNull();
    } finally {
      await server.stop();
    }
  });
});

test("a Host of one letter is routed like any other", async () => {
  const server = await open({ AUTH_MODE: "local", HOST: "0.0.0.0" });
  try {
    expect((await sendRaw(server.url, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"))?.status).toBe(200);
  } finally {
    await server.stop();
  }
});

test("the metrics port answers HTTP/1.0 without a Host, and refuses a malformed one", async () => {
  const app = metricsApp({ metrics: noMetrics(), token: undefined });
  const server = await listen({ app, host: "127.0.0.1", port: 0 });
  try {
    expect((await sendRaw(server.url, "GET /health HTTP/1.0\r\n\r\n"))?.status).toBe(200);
    expect((await sendRaw(server.url, "GET /metrics HTTP/1.1\r\nHost: a b\r\n\r\n"))?.status).toBe(400);
  } finally {
    await server.stop();
  }
});
