import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig } from "../../src/config.ts";
import type { Database } from "../../src/db/client.ts";
import { message, outbox, session } from "../../src/db/tables.ts";
import { createApp } from "../../src/http/app.ts";
import type { Hub } from "../../src/live/hub.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { appendMessages } from "../../src/runs/store.ts";
import { firstPromptOf, setGeneratedTitle } from "../../src/sessions/store.ts";
import { claimRun, describeEachDatabase } from "../harness/databases.ts";
import { noMetrics } from "../harness/metrics.ts";

const dataDir = mkdtempSync(join(tmpdir(), "pb-api-"));
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

const config = readConfig({
  DATA_DIR: dataDir,
  CORS_ORIGINS: "https://ui.example.com",
  ANTHROPIC_API_KEY: "sk-test-key",
});
const logged: string[] = [];
const logger = createLogger({ level: "info", write: (line) => void logged.push(line) });
const appOn = (database: Pick<Database, "orm">) =>
  createApp({
    database,
    config,
    hub: {} as Hub,
    metrics: noMetrics(),
    logger,
    version: "1.2.3",
    verifier: createVerifier({ config: config.auth, dataDir }),
    health: () => ({
      version: "1.2.3",
      agent: "demo",
      isolation: { isolated: true, detail: "" },
      database: "embedded",
      queue: "embedded",
    }),
  });
const issuer = openLocalIssuer({ dataDir, audience: "prompt-backend" });
const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => issuer.issue({ user, roles: [] })));

describeEachDatabase("the API", (database) => {
  const send = async (
    method: string,
    path: string,
    options: { body?: unknown; raw?: string; token?: string | null; headers?: Record<string, string> } = {},
  ) => {
    const { body, raw, token = alice, headers } = options;
    const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: {
        ...(text !== undefined && {
          "content-type": "application/json",
          "content-length": String(Buffer.byteLength(text)),
        }),
        ...(token && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(text !== undefined && { body: text }),
    });
    const reply = await appOn(database()).handle(request);
    const answer = await reply.text();
    return {
      status: reply.status,
      headers: reply.headers,
      // biome-ignore lint/suspicious/noExplicitAny: replies of every shape are read here.
      body: (answer ? JSON.parse(answer) : undefined) as any,
    };
  };
  const create = async (text = "Fix the login timeout") =>
    (
      await send("POST", "/sessions/with-prompt", {
        body: { repo: "owner/name", target_branch: "main", messages: [{ content: text }] },
      })
    ).body;

  test("a session with its prompt: one transaction, final-looking at once, listed complete and newest first", async () => {
    const first = await create("The first");
    expect(first).toEqual({
      success: true,
      message: expect.any(String),
      sessionId: expect.stringMatching(UUID),
      promptId: expect.stringMatching(UUID),
    });
    const second = await create();
    const { session: dto } = (await send("GET", `/sessions/${second.sessionId}`)).body;
    expect(dto).toEqual({
      id: second.sessionId,
      sbxConfig: null,
      parent: null,
      branch: expect.stringMatching(/^prompt\/fix-the-login-timeout-\w+$/),
      repo: "owner/name",
      targetBranch: "main",
      title: "Fix the login timeout",
      uiStatus: "Pending",
      inboxStatus: "Pending",
      sessionStatus: "Active",
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      updatedAt: expect.stringMatching(/Z$/),
      deletedAt: null,
      cancellationStatus: null,
      cancelledAt: null,
      cancelledBy: null,
      messages: [
        {
          role: "user",
          content: "Fix the login timeout",
          prompt_id: second.promptId,
          at: expect.any(String),
        },
      ],
    });
    const { sessions } = (await send("GET", "/sessions")).body;
    expect(sessions.slice(0, 2).map(({ id }: { id: string }) => id)).toEqual([
      second.sessionId,
      first.sessionId,
    ]);
    expect(sessions[0]).not.toHaveProperty("messages");
    const topics = await database()
      .orm.select({ topic: outbox.topic })
      .from(outbox)
      .where(eq(outbox.key, second.sessionId));
    expect(topics).toEqual([{ topic: "session-title" }]);
    expect(
      await database()
        .orm.select({ topic: outbox.topic })
        .from(outbox)
        .where(eq(outbox.key, second.promptId)),
    ).toEqual([{ topic: "prompt-run" }]);
  });

  test("a bare session waits; one with messages has its first prompt; a child knows its parent", async () => {
    const bare = await send("POST", "/sessions", { body: { repo: "owner/name", target_branch: "main" } });
    expect(bare.body).toEqual({
      success: true,
      message: expect.any(String),
      id: expect.stringMatching(UUID),
    });
    expect((await send("GET", `/sessions/${bare.body.id}/prompts`)).body).toEqual({ prompts: [] });
    expect((await send("GET", `/sessions/${bare.body.id}`)).body.session).toMatchObject({
      uiStatus: "Pending",
      title: "New session",
    });
    const child = await send("POST", "/sessions", {
      body: {
        repo: "owner/name",
        target_branch: "main",
        parent: bare.body.id,
        messages: [{ content: "go" }],
      },
    });
    expect((await send("GET", `/sessions/${child.body.id}/prompts`)).body.prompts).toMatchObject([
      { data: [{ content: "go" }], status: "Queued", seq: 1 },
    ]);
    expect((await send("GET", `/sessions/${child.body.id}`)).body.session.parent).toBe(bare.body.id);
    expect(
      (
        await send("POST", "/sessions", {
          body: { repo: "owner/name", target_branch: "main", parent: NOWHERE },
        })
      ).status,
    ).toBe(404);
  });

  test("a follow-up is stored as sent, in whatever form, and takes an archived session up again", async () => {
    const { sessionId } = await create();
    await database()
      .orm.update(session)
      .set({ sessionStatus: "Completed", cancellationStatus: "Cancelled" })
      .where(eq(session.id, sessionId));
    const forms = ["text", { content: "x" }, [{ content: "y", type: "text" }]];
    for (const data of forms)
      expect((await send("POST", "/prompts", { body: { session_id: sessionId, data } })).body).toMatchObject({
        success: true,
        id: expect.stringMatching(UUID),
      });
    const { prompts } = (await send("GET", `/sessions/${sessionId}/prompts`)).body;
    expect(prompts.map(({ data }: { data: unknown }) => data)).toEqual([
      [{ content: "Fix the login timeout" }],
      ...forms,
    ]);
    expect(prompts.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2, 3, 4]);
    expect(prompts[0]).toMatchObject({
      id: expect.stringMatching(UUID),
      session_id: sessionId,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
    });
    const { session: dto } = (await send("GET", `/sessions/${sessionId}`)).body;
    expect(dto).toMatchObject({ uiStatus: "Pending", cancellationStatus: null });
    expect(dto.messages.map(({ content }: { content: string }) => content)).toEqual([
      "Fix the login timeout",
      "text",
      "x",
      "y",
    ]);
  });

  test("messages come in order, with their number", async () => {
    const { promptId } = await create();
    const run = await claimRun(database().orm, promptId, "me", 60_000);
    if (!run) throw new Error("not claimed");
    await appendMessages(database().orm, run, [{ type: "system" }, { type: "assistant", uuid: "1" }]);
    const { messages } = (await send("GET", `/prompts/${promptId}/messages`)).body;
    expect(messages).toMatchObject([
      { prompt_id: promptId, seq: 1, data: { type: "system" } },
      {
        prompt_id: promptId,
        seq: 2,
        data: { type: "assistant", uuid: "1" },
        created_at: expect.stringMatching(/Z$/),
      },
    ]);
    expect(await database().orm.$count(message, eq(message.promptId, promptId))).toBe(2);
  });

  test("what is somebody else's does not exist", async () => {
    const { sessionId, promptId } = await create();
    for (const [method, path, body] of [
      ["GET", `/sessions/${sessionId}`],
      ["GET", `/sessions/${sessionId}/prompts`],
      ["GET", `/prompts/${promptId}/messages`],
      ["POST", "/prompts", { session_id: sessionId, data: "x" }],
      ["POST", "/sessions", { repo: "owner/name", target_branch: "main", parent: sessionId }],
    ] as const) {
      expect({ path, status: (await send(method, path, { body, token: bob ?? "" })).status }).toEqual({
        path,
        status: 404,
      });
    }
    expect((await send("GET", "/sessions", { token: bob ?? "" })).body).toEqual({ sessions: [] });
    await database().orm.update(session).set({ deletedAt: new Date() }).where(eq(session.id, sessionId));
    expect((await send("GET", `/sessions/${sessionId}`)).status).toBe(404);
    expect((await send("GET", `/prompts/${promptId}/messages`)).status).toBe(404);
  });

  test("a generated title replaces the derived one only", async () => {
    const { sessionId } = await create("Derive this");
    const { orm } = database();
    expect(await firstPromptOf(orm, sessionId)).toEqual({
      promptText: "Derive this",
      derivedTitle: "Derive this",
    });
    await setGeneratedTitle(orm, sessionId, { from: "Derive this", to: "Better" });
    await setGeneratedTitle(orm, sessionId, { from: "Derive this", to: "Too late" });
    expect((await send("GET", `/sessions/${sessionId}`)).body.session.title).toBe("Better");
  });

  test("errors have one shape, and 401 comes before anything else is looked at", async () => {
    const good = { repo: "owner/name", target_branch: "main", messages: "x" };
    const cases: [number, string, string, string, Parameters<typeof send>[2]][] = [
      [401, "unauthorized", "POST", "/sessions/with-prompt", { token: null, raw: "{nonsense" }],
      [401, "unauthorized", "POST", "/sessions", { token: "nonsense", body: {} }],
      [401, "unauthorized", "GET", "/sessions/not-a-uuid", { token: null }],
      [400, "bad_request", "POST", "/sessions", { raw: "{nonsense" }],
      [422, "invalid", "POST", "/sessions", { body: { target_branch: "main" } }],
      [422, "invalid", "POST", "/sessions", { body: { ...good, repo: 7 } }],
      [422, "invalid", "POST", "/sessions/with-prompt", { body: { ...good, messages: [] } }],
      [
        422,
        "invalid",
        "POST",
        "/sessions/with-prompt",
        { body: { ...good, messages: [{ content: "a\u0000b" }] } },
      ],
      [422, "invalid", "POST", "/prompts", { body: { session_id: "x", data: "y" } }],
      [422, "invalid", "GET", "/sessions/not-a-uuid", {}],
      [404, "not_found", "GET", `/sessions/${NOWHERE}`, {}],
      [404, "not_found", "POST", "/prompts", { body: { session_id: NOWHERE, data: "y" } }],
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
    for (const [status, code, method, path, options] of cases) {
      const reply = await send(method, path, options);
      expect({ path, status: reply.status, body: reply.body }).toEqual({
        path,
        status,
        body: { err: code, msg: expect.any(String), code, request_id: expect.any(String) },
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
  const { drizzle } = await import("drizzle-orm/postgres-js");
  const postgres = (await import("postgres")).default;
  const client = postgres("postgres://secret-user:pw@127.0.0.1:1/secret-db", { connect_timeout: 1 });
  const app = appOn({ orm: drizzle(client) as unknown as Database["orm"] });
  const reply = await app.handle(
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

test("the API's description: the contract's names, OpenAPI 3.0.3, no leftovers, printed as it is served", async () => {
  const app = appOn({} as Pick<Database, "orm">);
  const served = await (await app.handle(new Request("http://localhost/openapi.json"))).text();
  const document = JSON.parse(served);
  expect(document.openapi).toBe("3.0.3");
  const operations = Object.values(document.paths)
    .flatMap((path) => Object.values(path as object))
    .map(({ operationId }) => operationId);
  for (const id of [
    "handlers_health_health",
    "handlers_sessions_list",
    "handlers_sessions_create",
    "handlers_sessions_create_with_prompt",
    "handlers_sessions_read",
    "handlers_prompts_create",
    "handlers_prompts_list",
    "handlers_messages_list",
    "handlers_sessions_events",
    "handlers_events",
  ])
    expect(operations).toContain(id);
  expect(Object.keys(document.paths)).toContain("/sessions/{session_id}/prompts");
  expect(document.components.securitySchemes).toMatchObject({
    Bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
  });
  expect(Object.keys(document.components.schemas)).toContain("CreateSessionWithPromptInput");
  expect(served).not.toContain("$id");
  const printed = Bun.spawnSync({
    cmd: [process.execPath, join(import.meta.dir, "../../src/main.ts"), "print-openapi"],
    env: { PATH: process.env["PATH"] ?? "", DATABASE_URL: "nonsense" },
  });
  expect(printed.stdout.toString().replace(/"version": "[^"]+"/, "")).toBe(
    served.replace(/"version": "[^"]+"/, ""),
  );
});
