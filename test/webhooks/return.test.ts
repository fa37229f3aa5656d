import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { eq, sql } from "drizzle-orm";
import type { SandboxConfig } from "../../src/db/json-columns.ts";
import { webhookSignature } from "../../src/db/safety-tables.ts";
import { session } from "../../src/db/tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { purgeOldSignatures } from "../../src/webhooks/store.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

const SECRET = "a secret of some length".replaceAll(" ", "-");
const PATH = "/webhook/return";
const seconds = (offset = 0) => String(Math.floor(Date.now() / 1000) + offset);
const signed = (raw: string, timestamp = seconds(), secret = SECRET) => ({
  "x-webhook-timestamp": timestamp,
  "x-webhook-signature": `sha256=${createHmac("sha256", secret).update(`${timestamp}.${raw}`).digest("hex")}`,
});

test("without WEBHOOK_SECRET it is disabled, and says why", async () => {
  const reply = await ask(makeApp(), undefined, "POST", PATH, { item: { id: "x" } });
  expect([reply.status, reply.body.err, reply.body.code, reply.body.msg]).toEqual([
    403,
    "forbidden",
    "webhooks_closed",
    expect.stringContaining("WEBHOOK_SECRET"),
  ]);
});

test("a compressed body is refused, once its sender is known", async () => {
  const to = makeApp({ env: { WEBHOOK_SECRET: SECRET } });
  const send = (token: string) =>
    ask(to, token, "POST", PATH, { item: { id: "x" } }, { "content-encoding": "gzip" });
  const reply = await send(SECRET);
  expect([reply.status, reply.body.code, reply.headers.get("accept-encoding")]).toEqual([
    415,
    "unsupported_content_encoding",
    "identity",
  ]);
  expect((await send("guess")).status).toBe(401);
});

describeEachDatabase("POST /webhook/return", (database) => {
  const app = (env: Record<string, string> = {}, logged: string[] = []) =>
    makeApp({
      database: database(),
      env: { WEBHOOK_SECRET: SECRET, ...env },
      logger: createLogger({ level: "info", write: (line) => void logged.push(line) }),
    });
  const post = async (raw: string, headers: Record<string, string>, to = app()) => {
    const reply = await to.handle(
      new Request(`http://localhost${PATH}`, { method: "POST", body: raw, headers }),
    );
    // biome-ignore lint/suspicious/noExplicitAny: read as it comes.
    return { status: reply.status, body: (await reply.json()) as any };
  };
  /** Each at a second of its own, or two deliveries were the same: a clock that ticks between them must not make it so. */
  let sentAt = Number(seconds());
  const send = (item: unknown, to = app()) => {
    const raw = JSON.stringify({ item });
    sentAt -= 1;
    return post(raw, { ...signed(raw, String(sentAt)), "content-type": "application/json" }, to);
  };
  const holding = async (config: object, inboxStatus: "Completed" | "Processing" = "Completed") => {
    const { sessionId } = await seedSession(database(), 1);
    await database()
      .orm.update(session)
      .set({ sbxConfig: config as SandboxConfig, inboxStatus, ipReturnRetryCount: 3 })
      .where(eq(session.id, sessionId));
    return async () =>
      (await database().orm.select().from(session).where(eq(session.id, sessionId)))[0]?.sbxConfig ?? null;
  };

  test.each([
    ["no credentials", () => ({})],
    ["a wrong bearer", () => ({ authorization: "Bearer nonsense" })],
    ["a wrong secret's signature", (raw: string) => signed(raw, seconds(), "another secret")],
    ["a signature of another body", () => signed("{}")],
    [
      "a signature of another time",
      (raw: string) => ({ ...signed(raw), "x-webhook-timestamp": seconds(-9) }),
    ],
    ["an old signature", (raw: string) => signed(raw, seconds(-301))],
    ["a signature from the future", (raw: string) => signed(raw, seconds(310))],
    ["an invalid timestamp", (raw: string) => signed(raw, "soon")],
    ["a signature of another kind", (raw: string) => ({ ...signed(raw), "x-webhook-signature": "sha1=00" })],
  ])("%s is refused before the body is parsed, and nothing is marked", async (_what, headersOf) => {
    const held = await holding({ provider: "allocator", id: "10.0.0.1" });
    for (const raw of [JSON.stringify({ item: { id: "10.0.0.1" } }), "{nonsense", "[]"])
      expect(await post(raw, headersOf(raw))).toMatchObject({ status: 401, body: { code: "unauthorized" } });
    expect(await held()).not.toBeNull();
    await database().orm.update(session).set({ sbxConfig: null });
  });

  test("accepts a signature over the bytes as received, up to the tolerance, or the secret as a bearer token", async () => {
    const raw = '{ "item" :\n {"id": "10.0.0.2", "name": "ü"} }';
    for (const headers of [
      signed(raw),
      signed(raw, seconds(-295)),
      { authorization: `Bearer ${SECRET}` },
    ] as Record<string, string>[]) {
      const held = await holding({ provider: "allocator", id: "10.0.0.2" });
      expect(await post(raw, headers)).toMatchObject({ status: 200, body: { success: true } });
      expect(await held()).toBeNull();
    }
  });

  // Within 300 s a recorded delivery took a sandbox away from the session that held the item next.
  test("attack: a recorded delivery is replayed after the item was lent again, on this node and on another", async () => {
    const raw = JSON.stringify({ item: { id: "10.0.0.9" } });
    const recorded = signed(raw, seconds(-200));
    const first = await holding({ provider: "allocator", id: "10.0.0.9" });
    expect(await post(raw, recorded)).toMatchObject({ status: 200, body: { success: true } });
    expect(await first()).toBeNull();
    const next = await holding({ provider: "allocator", id: "10.0.0.9" });
    const shouted = {
      ...recorded,
      "x-webhook-signature": recorded["x-webhook-signature"].toUpperCase().replace("SHA256", "sha256"),
    };
    // A sender that lost the answer repeats its delivery: that is no error.
    for (const headers of [recorded, shouted])
      for (const node of [app(), app({ PORT: "8001" })])
        expect(await post(raw, headers, node)).toMatchObject({
          status: 200,
          body: { success: true, message: expect.stringContaining("not repeated") },
        });
    expect(await next()).not.toBeNull();
    // A new delivery takes effect.
    expect(await post(raw, signed(raw))).toMatchObject({ status: 200, body: { success: true } });
    expect(await next()).toBeNull();
  });

  test("of concurrent deliveries with one signature one takes effect", async () => {
    const raw = JSON.stringify({ item: { id: "10.0.0.10" } });
    const headers = signed(raw, seconds(-1));
    await holding({ provider: "allocator", id: "10.0.0.10" });
    const replies = await Promise.all(Array.from({ length: 8 }, () => post(raw, headers)));
    expect(replies.filter(({ body }) => body.message.includes("marked"))).toHaveLength(1);
    // The others are told apart by their signature, not because nothing holds the item any more.
    expect(replies.filter(({ body }) => body.message.includes("not repeated"))).toHaveLength(7);
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(200));
  });

  test("a delivery that failed is not remembered; old signatures are purged, and only hashes are stored", async () => {
    const { orm } = database();
    const raw = JSON.stringify({ item: { id: "10.0.0.11" } });
    const headers = signed(raw, seconds(-2));
    const held = await holding({ provider: "allocator", id: "10.0.0.11" });
    await orm.execute(sql`alter table session rename to session_away`);
    expect((await post(raw, headers)).status).toBe(500);
    await orm.execute(sql`alter table session_away rename to session`);
    expect(await post(raw, headers)).toMatchObject({ status: 200 });
    expect(await held()).toBeNull();
    const hashes = async () => (await orm.select().from(webhookSignature)).map(({ hash }) => hash);
    expect(JSON.stringify(await hashes())).not.toContain(headers["x-webhook-signature"].slice(7));
    const count = (await hashes()).length;
    // One from the future is accepted until 600 s after it was seen.
    for (const age of ["0", "601 seconds"]) {
      await orm.update(webhookSignature).set({ seenAt: sql`now() - ${age}::interval` });
      expect(await purgeOldSignatures(orm)).toBe(0);
    }
    await orm.update(webhookSignature).set({ seenAt: sql`now() - interval '1 hour'` });
    expect(await purgeOldSignatures(orm)).toBe(count);
  });

  test("a signed but malformed body is 400 or 422", async () => {
    for (const [raw, status] of [
      ["{nonsense", 400],
      ["", 400],
      ["[]", 422],
      ["{}", 422],
      ['{"item":{"id":"a\\u0000b"}}', 422],
    ] as const)
      expect([raw, (await post(raw, signed(raw))).status]).toEqual([raw, status]);
  });

  test("matches an item by its id, or as a whole; others stay, and a repetition is accepted", async () => {
    const byId = await holding({ provider: "allocator", id: "10.0.0.3", borrow_token: "t" });
    const item = { api_url: "http://10.0.0.4", n: [1, { a: null }] };
    const whole = await holding({ provider: "allocator", id: "lease-4", item });
    const other = await holding({ provider: "allocator", id: "10.0.0.5", item: { ...item, n: [] } });
    expect((await send({ id: "10.0.0.3", more: true })).body.message).toContain("marked");
    expect([await byId(), (await whole()) !== null]).toEqual([null, true]);
    expect((await send({ n: [1, { a: null }], api_url: "http://10.0.0.4" })).body.message).toContain(
      "marked",
    );
    expect([await whole(), (await other()) !== null]).toEqual([null, true]);
    expect(await send({ id: "10.0.0.3" })).toMatchObject({
      status: 200,
      body: { success: true, message: expect.stringContaining("No session") },
    });
    for (const strange of [null, 7, "x", [], {}, { id: null }, { id: {} }])
      expect((await send(strange)).status).toBe(200);
    expect(await other()).not.toBeNull();
  });

  test("a local sandbox of a running prompt stays", async () => {
    const running = await holding({ provider: "local", id: "mine", host: "h" }, "Processing");
    const resting = await holding({ provider: "local", id: "rest", host: "h" });
    await send({ id: "mine" });
    await send({ id: "rest" });
    expect([(await running()) !== null, await resting()]).toEqual([true, null]);
  });

  test("a returned item is redeployed once, and a failed redeploy does no harm", async () => {
    const calls: { authorization: string | null; body: { query: string; variables: unknown } }[] = [];
    let answer = () => Response.json({ data: { deploymentRedeploy: { id: "d2" } } });
    await using railway = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        calls.push({
          authorization: request.headers.get("authorization"),
          body: (await request.json()) as never,
        });
        return answer();
      },
    });
    const env = {
      RAILWAY_API_KEY: "railway-key",
      RAILWAY_DEPLOYMENT_ID: "deployment-1",
      RAILWAY_API_URL: `http://127.0.0.1:${railway.port}/graphql/v2`,
    };
    const logged: string[] = [];
    const to = app(env, logged);
    const said = (text: string) => until(() => logged.some((line) => line.includes(text)), { what: text });
    await holding({ provider: "allocator", id: "10.0.0.6" });
    await send({ id: "10.0.0.6" }, to);
    await said("Railway redeploy requested");
    expect(calls).toMatchObject([
      { authorization: "Bearer railway-key", body: { variables: { id: "deployment-1" } } },
    ]);
    expect(calls[0]?.body.query).toContain("deploymentRedeploy(id: $id)");
    await send({ id: "10.0.0.6" }, to);

    for (const [broken, reason] of [
      [() => Response.json({ errors: [{ message: "Not Authorized" }] }), "Not Authorized"],
      [() => new Response("down", { status: 502 }), "answered 502"],
    ] as const) {
      answer = broken;
      await holding({ provider: "allocator", id: "10.0.0.7" });
      expect((await send({ id: "10.0.0.7" }, to)).status).toBe(200);
      await said(reason);
    }
    expect(calls).toHaveLength(3);
  });
});
