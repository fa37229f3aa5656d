import { describe, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { taskHeartbeat } from "../../src/db/service-tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createReadiness, requireReady } from "../../src/server/readiness.ts";
import { startHeartbeat } from "../../src/tasks/heartbeat.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { guarded } from "../harness/guarded.ts";
import { until } from "../harness/until.ts";

const never = () => new Promise<never>(() => undefined);

test("without a database it is not ready, which is reported like every error", async () => {
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

describe("with an issuer", () => {
  const guard = guarded();
  const { here } = guard;
  const msgOf = async (app: ReturnType<typeof makeApp>) =>
    (await ask(app, undefined, "GET", "/health/ready")).body.msg as string;

  test("it is not ready before the issuer's keys are known; refusals say when to come back, and nothing of the issuer", async () => {
    here.issuer.break(() => new Response("starting", { status: 502 }));
    const app = makeApp(guard.options());
    expect(await msgOf(app)).toBe(
      "Not ready: the database does not answer; the identity provider's keys cannot be fetched.",
    );
    const token = await here.issuer.token(here.key);
    for (const reply of [
      await ask(app, undefined, "GET", "/health/ready"),
      await ask(app, token, "GET", "/me"),
      await ask(app, token, "POST", "/sessions", {}),
    ]) {
      expect([reply.status, reply.headers.get("retry-after")]).toEqual([503, "5"]);
      expect(JSON.stringify(reply.body)).not.toContain("127.0.0.1");
    }
    here.issuer.break();
  });

  test("it stays ready while an issuer is away whose keys are known", async () => {
    const app = makeApp(guard.options());
    expect(await msgOf(app)).toBe("Not ready: the database does not answer.");
    here.issuer.break(() => new Response("down", { status: 502 }));
    expect(await msgOf(app)).toBe("Not ready: the database does not answer.");
    here.issuer.break();
  });
});

test("a check that hangs fails after its timeout", async () => {
  const orm = { execute: never } as unknown as Orm;
  await expect(requireReady(createReadiness({ orm, queueAlive: never, timeoutMs: 5 }))).rejects.toThrow(
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

  test("is given with a database and a queue", async () => {
    expect(await ready()).toMatchObject({ status: 200, body: { status: "ok" } });
    expect(await ready(async () => "PONG")).toMatchObject({ status: 200 });
    expect((await ready(() => Promise.reject(new Error("no")))).body.msg).toBe(
      "Not ready: the queue does not answer.",
    );
  });

  test("is refused while agents must not run here", async () => {
    const app = makeApp({
      database: database(),
      refusal: async () => "this machine cannot isolate agents: no",
    });
    const { status, body } = await ask(app, undefined, "GET", "/health/ready");
    expect([status, body.msg]).toEqual([503, "Not ready: this machine cannot isolate agents: no."]);
  });

  test("names a task without a recent heartbeat", async () => {
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

  test("a running process sends heartbeats repeatedly; one that has stopped is not missed", async () => {
    await beaten("prompt-runner", "dead", 40);
    await beaten("retention", "long dead", 90_000);
    const heartbeat = startHeartbeat({
      orm: database().orm,
      process: "running",
      host: "here",
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
