import { expect, test } from "bun:test";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import type { Database } from "../../src/db/client.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { realApp, type Send } from "../harness/real-app.ts";

const app = await realApp();
const { alice, logged } = app;
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("errors", (database) => {
  const send = app.sendTo(database);

  test("have one shape, and 401 comes before any other check", async () => {
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
    expect((await send("PATCH", "/sessions")).headers.get("allow")).toBe("GET, HEAD, POST");
    expect((await send("GET", "/sessions", { token: null })).headers.get("www-authenticate")).toBe("Bearer");
    expect(
      (await send("GET", "/sessions", { headers: { "x-request-id": "mine-1" } })).headers.get("x-request-id"),
    ).toBe("mine-1");
  });
});

test("an unreachable database is a 503 without details; the log has them", async () => {
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
