import { describe, expect, test } from "bun:test";
import { listen } from "../../src/server/listen.ts";
import { makeApp, nameIsToken, userNamed } from "../harness/app.ts";

const UI = "https://ui.example.com";

/** Without a database; what needs one answers 500, which is one of the replies under test. */
const appWith = (env: Record<string, string>) =>
  makeApp({
    env: { CORS_ORIGINS: UI, ...env },
    verifier: { ...nameIsToken, ...(env["AUTH_MODE"] === "none" && { anonymous: userNamed("local") }) },
  });
const send = (
  env: Record<string, string>,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
) =>
  appWith(env).handle(
    new Request(`http://localhost${path}`, { method, headers, ...(body !== undefined && { body }) }),
  );

const json = { "content-type": "application/json" };
const REPLIES: [number, string, string, Record<string, string>, string?][] = [
  [200, "GET", "/health", {}],
  [204, "OPTIONS", "/sessions", { "access-control-request-method": "PUT" }],
  [400, "POST", "/sessions", json, "{nonsense"],
  [401, "GET", "/sessions", { authorization: "Bearer bad" }],
  [404, "GET", "/nowhere", {}],
  [405, "PATCH", "/sessions", {}],
  [413, "POST", "/sessions", { ...json, "content-length": "99999999" }, "{}"],
  [422, "POST", "/sessions", json, "{}"],
  [500, "GET", "/sessions", {}],
];

describe("every reply", () => {
  test.each(REPLIES)(
    "%i to %s %s has CORS and security headers",
    async (status, method, path, more, body) => {
      const reply = await send(
        {},
        method,
        path,
        { authorization: "Bearer good", origin: UI, "x-request-id": "mine", ...more },
        body,
      );
      expect(reply.status).toBe(status);
      expect(Object.fromEntries(reply.headers)).toMatchObject({
        "access-control-allow-origin": UI,
        "access-control-allow-credentials": "true",
        vary: expect.stringContaining("Origin"),
        "x-request-id": "mine",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "content-security-policy": expect.stringContaining("frame-ancestors 'none'"),
        "cross-origin-resource-policy": "same-origin",
      });
      expect(reply.headers.get("strict-transport-security")).toBeNull();
    },
  );

  test("has HSTS only where a trusted proxy received it over https", async () => {
    const over = (env: Record<string, string>, proto: string) =>
      send(env, "GET", "/health", { "x-forwarded-proto": proto }).then((reply) =>
        reply.headers.get("strict-transport-security"),
      );
    expect(await over({ TRUSTED_PROXY_HOPS: "1" }, "https")).toStartWith("max-age=");
    expect(await over({ TRUSTED_PROXY_HOPS: "1" }, "http")).toBeNull();
    expect(await over({}, "https")).toBeNull();
  });

  test.each(["https://evil.example.com", "http://127.evil.example.com", "null", `${UI}.evil.example.com`])(
    "to %s has no CORS headers",
    async (origin) => {
      const reply = await send({}, "GET", "/health", { origin });
      expect(reply.headers.get("access-control-allow-origin")).toBeNull();
    },
  );
});

describe("on loopback", () => {
  const OIDC = { AUTH_MODE: "oidc", KEYCLOAK_ISSUER: "https://sso.example.com" };
  test.each([
    ["a name of this machine", {}, "localhost:8000", 200],
    ["an address of this machine", {}, "127.0.0.1:8000", 200],
    ["its IPv6 address", {}, "[::1]:8000", 200],
    ["capitals", {}, "LocalHost", 200],
    ["a UI's host, through a proxy", {}, "ui.example.com", 200],
    ["a foreign name", {}, "evil.example.com:8000", 403],
    ["a foreign name that looks like an address", {}, "127.0.0.1.evil.example.com", 403],
    ["a foreign name in none mode", { AUTH_MODE: "none" }, "evil.example.com", 403],
    ["with OIDC any name", OIDC, "api.example.com", 200],
    ["in local mode on all addresses any name", { AUTH_MODE: "local", HOST: "0.0.0.0" }, "pb", 200],
  ])("Host: %s", async (_what, env, host, status) => {
    expect((await send(env, "GET", "/health", { host })).status).toBe(status);
  });

  test.each([
    ["none", "POST", "https://evil.example.com", 403],
    ["none", "DELETE", "https://evil.example.com", 403],
    ["none", "POST", "null", 403],
    ["none", "POST", "http://127.0.0.1.evil.example.com", 403],
    ["none", "POST", "http://localhost:3000", 422],
    ["none", "POST", UI, 422],
    ["none", "GET", "https://evil.example.com", 405],
    ["local", "POST", "https://evil.example.com", 422],
  ])("%s mode, %s from %s is %i", async (mode, method, origin, status) => {
    const path = method === "GET" ? "/prompts" : "/sessions";
    const reply = await send(
      { AUTH_MODE: mode },
      method,
      path,
      { ...json, origin, authorization: "Bearer good" },
      method === "GET" ? undefined : "{}",
    );
    expect(reply.status).toBe(status);
  });
});

// A prompt may have attachments.
test.each([
  ["/sessions", 45_000_000],
  ["/messages", 5_000_000],
])(
  "a body for %s far above the limit is refused with CORS headers before all of it was sent",
  async (path, size) => {
    const app = makeApp({ env: { CORS_ORIGINS: UI } });
    const server = await listen({ app, host: "127.0.0.1", port: 0 });
    try {
      const reply = await fetch(`${server.url}${path}`, {
        method: "POST",
        headers: { ...json, origin: UI, authorization: "Bearer good" },
        body: "x".repeat(size),
      });
      expect([reply.status, reply.headers.get("access-control-allow-origin"), await reply.json()]).toEqual([
        413,
        UI,
        expect.objectContaining({ code: "too_large" }),
      ]);
    } finally {
      await server.stop();
    }
  },
);
