import { expect, test } from "bun:test";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import type { Database } from "../../src/db/client.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { realApp, type Send } from "../harness/real-app.ts";

const app = await realApp();
const { alice, logged } = app;
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("at the edges of the API", (database) => {
  const send = app.sendTo(database);

  test("errors have one shape, and 401 comes before anything else is looked at", async () => {
    const good = { repo: "owner/name", target_branch: "main", messages: "x" };
    const cases: [number, string, string, string, Parameters<Send>[2], code?: string][] = [
      [
        401,
        "unauthorized",
        "POST",
        "/sessions/with-prompt",
        { token: null, raw: "{nonsense" },
        "token_missing",
      ],
      [401, "unauthorized", "POST", "/sessions", { token: "nonsense", body: {} }],
      [401, "unauthorized", "GET", "/sessions/not-a-uuid", { token: null }, "token_missing"],
      [400, "bad_request", "POST", "/sessions", { raw: "{nonsense" }, "malformed_json"],
      [422, "invalid", "POST", "/sessions", { body: { target_branch: "main" } }],
      [422, "invalid", "POST", "/sessions", { body: { ...good, repo: 7 } }],
      [422, "invalid", "POST", "/sessions/with-prompt", { body: { ...good, messages: [] } }, "prompt_empty"],
      [
        422,
        "invalid",
        "POST",
        "/sessions/with-prompt",
        { body: { ...good, messages: [{ content: "a\u0000b" }] } },
      ],
      [422, "invalid", "POST", "/prompts", { body: { session_id: "x", data: "y" } }],
      [422, "invalid", "GET", "/sessions/not-a-uuid", {}],
      [404, "not_found", "GET", `/sessions/${NOWHERE}`, {}, "session_not_found"],
      [
        404,
        "not_found",
        "POST",
        "/prompts",
        { body: { session_id: NOWHERE, data: "y" } },
        "session_not_found",
      ],
      [404, "not_found", "GET", "/nowhere", {}],
      [405, "method_not_allowed", "PATCH", "/sessions", {}],
      [
        413,
        "too_large",
        "POST",
        "/prompts",
        { body: { session_id: NOWHERE, data: "x".repeat(1024 * 1024) } },
      ],
    ];
    for (const [status, err, method, path, options, code = err] of cases) {
      const reply = await send(method, path, options);
      expect({ path, status: reply.status, body: reply.body }).toEqual({
        path,
        status,
        body: { err, msg: expect.any(String), code, request_id: expect.any(String) },
      });
      expect(reply.headers.get("x-request-id")).toBe(reply.body.request_id);
      expect(reply.body.msg.length).toBeLessThan(400);
    }
    expect((await send("PATCH", "/sessions")).headers.get("allow")).toBe("GET, POST");
    expect((await send("GET", "/sessions", { token: null })).headers.get("www-authenticate")).toBe("Bearer");
    expect(
      (await send("GET", "/sessions", { headers: { "x-request-id": "mine-1" } })).headers.get("x-request-id"),
    ).toBe("mine-1");
  });

  test("CORS: allowed origins are echoed with credentials, on errors too; others get nothing", async () => {
    for (const origin of ["https://ui.example.com", "http://localhost:3000", "http://127.0.0.1:5173"]) {
      const preflight = await send("OPTIONS", "/sessions", {
        token: null,
        headers: {
          origin,
          "access-control-request-method": "PUT",
          "access-control-request-headers": "authorization,content-type",
        },
      });
      expect(preflight.status).toBe(204);
      expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
      expect(preflight.headers.get("access-control-allow-credentials")).toBe("true");
      expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization, content-type");
      for (const name of ["idempotency-key", "if-none-match", "last-event-id"])
        expect(preflight.headers.get("access-control-allow-headers")).toContain(name);
      expect(preflight.headers.get("access-control-allow-methods")).toContain("GET, POST, PUT, DELETE");
      expect(Number(preflight.headers.get("access-control-max-age"))).toBeGreaterThan(0);
      const refused = await send("GET", "/sessions", { token: null, headers: { origin } });
      expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, origin]);
      expect(refused.headers.get("access-control-expose-headers")).toContain("etag");
    }
    const foreign = await send("GET", "/health", { headers: { origin: "https://evil.example.com" } });
    expect(foreign.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("health costs nothing and tells what runs", async () => {
    expect((await send("GET", "/health", { token: null })).body).toEqual({ status: "ok" });
    expect((await send("GET", "/health/detail", { token: null })).body).toMatchObject({
      agent: "demo",
      isolation: { isolated: true },
    });
  });
});

test("a database that is away is a 503 that says nothing of it, and a log line that does", async () => {
  const client = postgres("postgres://secret-user:pw@127.0.0.1:1/secret-db", { connect_timeout: 1 });
  const away = app.on({ orm: drizzle(client) as unknown as Database["orm"] });
  const reply = await away.handle(
    new Request("http://localhost/sessions", { headers: { authorization: `Bearer ${alice}` } }),
  );
  const text = await reply.text();
  expect(reply.status).toBe(503);
  expect(reply.headers.get("retry-after")).toBe("2");
  expect(text).not.toMatch(/select|secret|ECONN|session\./i);
  expect(
    logged.some((line) => line.includes(JSON.parse(text).request_id) && line.includes("ECONNREFUSED")),
  ).toBe(true);
  await client.end({ timeout: 0 });
});
