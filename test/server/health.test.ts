import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { taskHeartbeat } from "../../src/db/tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createReadiness } from "../../src/server/readiness.ts";
import { startHeartbeat } from "../../src/tasks/heartbeat.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase, seedSession } from "../harness/databases.ts";
import { until } from "../harness/until.ts";

const never = () => new Promise<never>(() => undefined);

test("health and liveness do no I/O", async () => {
  const app = makeApp();
  for (const path of ["/health", "/health/live"])
    expect(await ask(app, undefined, "GET", path)).toMatchObject({ status: 200, body: { status: "ok" } });
});

test("without a database it is not ready, and says so in the one shape of errors", async () => {
  const app = makeApp({ queueAlive: async () => "PONG" });
  expect(await ask(app, undefined, "GET", "/health/ready")).toMatchObject({
    status: 503,
    body: {
      err: "unavailable",
      code: "not_ready",
      msg: "Not ready: the database does not answer.",
      request_id: expect.any(String),
    },
  });
});

test("a check that hangs counts as failed after a while", async () => {
  const orm = { execute: never } as unknown as Orm;
  expect(createReadiness({ orm, queueAlive: never, timeoutMs: 5 })()).rejects.toThrow(
    "Not ready: the database does not answer; the queue does not answer.",
  );
});

describeEachDatabase("readiness", (database) => {
  const ready = (queueAlive?: () => Promise<unknown>) =>
    ask(makeApp({ database: database(), queueAlive }), undefined, "GET", "/health/ready");
  const beaten = (task: string, process: string, secondsAgo: number) =>
    database()
      .orm.insert(taskHeartbeat)
      .values({ task, process, host: "here", beatenAt: sql`now() - make_interval(secs => ${secondsAgo})` });
  const clear = () => database().orm.delete(taskHeartbeat);

  test("with database and queue alone", async () => {
    expect(await ready()).toMatchObject({ status: 200, body: { status: "ok" } });
    expect(await ready(async () => "PONG")).toMatchObject({ status: 200 });
    expect((await ready(() => Promise.reject(new Error("no")))).body.msg).toBe(
      "Not ready: the queue does not answer.",
    );
  });

  test("misses a task of which nobody has shown life, by its name", async () => {
    await beaten("prompt-runner", "a", 40);
    await beaten("outbox-publisher", "a", 40);
    await beaten("outbox-publisher", "b", 10);
    await beaten("retention", "a", 90_000);
    const { status, body } = await ready();
    expect([status, body.msg]).toEqual([
      503,
      expect.stringMatching(/^Not ready: the task prompt-runner has not been seen for 4\d s/),
    ]);
    expect(body.msg).not.toMatch(/outbox|retention/);
    await clear();
  });

  test("a process shows its tasks while it runs, again and again, and is not missed once it has stopped", async () => {
    await beaten("prompt-runner", "dead", 40);
    await beaten("retention", "long dead", 90_000);
    const heartbeat = startHeartbeat({
      orm: database().orm,
      tasks: ["prompt-runner", "session-poller"],
      logger: createLogger({ level: "silent" }),
      intervalMs: 10,
    });
    const rows = () => database().orm.select().from(taskHeartbeat).orderBy(taskHeartbeat.task);
    const mine = async () => (await rows()).filter(({ process }) => process !== "dead");
    const first = await until(async () => (await mine()).length === 2 && (await mine()), { what: "a beat" });
    expect(first.map(({ task }) => task)).toEqual(["prompt-runner", "session-poller"]);
    await until(async () => (await mine()).every((row, i) => row.beatenAt > (first[i]?.beatenAt ?? 0)), {
      what: "another beat",
    });
    expect((await ready()).status).toBe(200);
    await heartbeat.stop();
    expect((await rows()).map(({ process }) => process)).toEqual(["dead"]);
    await clear();
  });
});

describeEachDatabase("what a user may use", (database) => {
  test("/me says who it is and what is used", async () => {
    await seedSession(database(), 3);
    const app = makeApp({ database: database(), env: { MAX_UNFINISHED_PROMPTS: "7" } });
    expect((await ask(app, "alice", "GET", "/me")).body).toEqual({
      id: "alice",
      name: null,
      roles: [],
      expires_at: "2100-01-01T00:00:00.000Z",
      limits: { unfinished_prompts: 3, requests_per_minute: 6000, max_unfinished_prompts: 7 },
    });
    expect((await ask(app, "admin", "GET", "/me")).body).toMatchObject({
      roles: ["admin"],
      limits: { unfinished_prompts: 0 },
    });
    expect((await ask(app, undefined, "GET", "/me")).status).toBe(401);
    const anonymous = {
      id: "local",
      name: "Local user",
      roles: ["admin"],
      expiresAt: Number.POSITIVE_INFINITY,
    };
    const open = makeApp({ database: database(), verifier: { anonymous, verify: never } });
    expect((await ask(open, undefined, "GET", "/me")).body).toMatchObject({
      name: "Local user",
      expires_at: null,
    });
  });

  test("more unfinished prompts than the quota are refused, wherever they are made, and nothing is left of them", async () => {
    const app = makeApp({ database: database(), env: { MAX_UNFINISHED_PROMPTS: "2" } });
    const target = { repo: "owner/name", target_branch: "main" };
    const send = (path: string, body: object, user = "carol") => ask(app, user, "POST", path, body);
    const session = await send("/sessions", target);
    const create = { session_id: session.body.id, data: "go" };
    expect((await send("/sessions/with-prompt", { ...target, messages: "go" })).status).toBe(200);
    expect((await send("/prompts", create)).status).toBe(200);
    const before = (await ask(app, "carol", "GET", "/sessions")).body;
    for (const [path, body] of [
      ["/sessions/with-prompt", { ...target, messages: "go" }],
      ["/sessions", { ...target, messages: "go" }],
      ["/prompts", create],
    ] as const) {
      const reply = await send(path, body);
      expect([path, reply.status, reply.body.err, reply.body.code, reply.headers.get("retry-after")]).toEqual(
        [path, 429, "too_many_requests", "prompt_quota_reached", "60"],
      );
      expect(reply.body.msg).toContain("2 prompts that wait or run");
    }
    expect((await ask(app, "carol", "GET", "/sessions")).body).toEqual(before);
    // A session without a prompt, and another user, have room.
    expect((await send("/sessions", target)).status).toBe(200);
    expect((await send("/sessions", { ...target, messages: "go" }, "dave")).status).toBe(200);
    await database().orm.execute(sql`update prompt set status = 'Completed' where user_id = 'carol'`);
    expect((await send("/prompts", create)).status).toBe(200);
  });
});
