import { expect, setDefaultTimeout, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { readForScrape } from "../../src/db/deployment-metrics.ts";
import { readDueEffects } from "../../src/db/due-effects.ts";
import { effect, pullRequest } from "../../src/db/effect-tables.ts";
import { deadLetter } from "../../src/db/tables.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { withMetrics } from "../../src/server/metrics.ts";
import { ask, makeApp } from "../harness/app.ts";
import { createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { freePort } from "../harness/machine.ts";
import { makeRepository } from "../harness/repository.ts";
import { claimRun, FAILURE, seedRun, seedSession, writerOf } from "../harness/seed.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** The value of one series, by its name and labels as text. */
const seriesOf = (text: string, series: string) =>
  text
    .split("\n")
    .find((line) => line.startsWith(`${series} `))
    ?.split(" ")[1];

test("those of the process count from its beginning, however late they are first asked for", async () => {
  const { user, system } = process.cpuUsage();
  const metrics = createMetrics({
    version: "0",
    deployment: async () => Promise.reject(new Error("unused")),
  });
  const text = await metrics.text();
  const used = Number(seriesOf(text, "process_cpu_seconds_total"));
  expect(used).toBeGreaterThanOrEqual((user + system) / 1e6);
  expect(text).toContain("nodejs_heap_size_used_bytes");
  expect(text).not.toContain("nodejs_eventloop");
  expect(Number(seriesOf(await metrics.text(), "process_cpu_seconds_total"))).toBeGreaterThanOrEqual(used);
});

describeEachDatabase("metrics of the whole deployment", (database) => {
  test("match the tables", async () => {
    const { orm } = database();
    const seeded = await seedSession(database(), 3);
    await claimRun(orm, seeded.promptIds[0] ?? "");
    await seedSession(database(), 1);
    const dead = { taskType: "prompt-run", entityId: seeded.sessionId, lastError: "No." };
    await orm.insert(deadLetter).values([
      { id: Bun.randomUUIDv7(), kind: "poison", ...dead },
      { id: Bun.randomUUIDv7(), kind: "transient", status: "Resolved", ...dead },
    ]);
    await orm.execute(
      sql`update prompt set created_at = now() - interval '100 seconds' where status = 'Queued'`,
    );
    const { deployment: metrics } = await readForScrape({ orm, leads: async () => true });
    expect(metrics).toMatchObject({
      prompts: { queued: 3, running: 1 },
      deadLetters: { poison: 1 },
      sandboxesHeld: 0,
      effectsLag: 0,
    });
    // Only prompts that are ready count: two wait behind one that runs.
    expect(Math.round(metrics?.oldestWaiting ?? 0)).toBe(100);
  });

  test("have how long the first effect or reading of a pull request is due; what is due later or has ended does not count", async () => {
    const { orm } = database();
    const { sessionId } = await seedSession(database(), 1);
    const read = async () => {
      const { deployment } = await readForScrape({ orm, leads: async () => true });
      const { count, seconds } = await readDueEffects(orm);
      expect(Math.round(deployment?.effectsLag ?? 0)).toBe(Math.round(seconds));
      return [count, Math.round(seconds)];
    };
    expect(await read()).toEqual([0, 0]);
    const wanted = { sessionId, kind: "pull_request", target: "t", request: {} } as const;
    const before = (seconds: number) => sql`now() - ${seconds}::int * interval '1 second'`;
    await orm.insert(effect).values([
      { ...wanted, id: Bun.randomUUIDv7(), key: "a", status: "intended", dueAt: before(100) },
      { ...wanted, id: Bun.randomUUIDv7(), key: "b", status: "intended", dueAt: before(-100) },
      { ...wanted, id: Bun.randomUUIDv7(), key: "c", status: "done", dueAt: null },
    ]);
    expect(await read()).toEqual([1, 100]);
    const pull = { sessionId, effectId: sessionId, number: 1, url: "u", title: "t", state: "open" } as const;
    const rest = { draft: false, base: "main", createdAt: new Date(), lookAt: before(200) };
    await orm.insert(pullRequest).values({ ...pull, ...rest });
    expect(await read()).toEqual([2, 200]);
    await orm.delete(pullRequest).where(eq(pullRequest.sessionId, sessionId));
    await orm.delete(effect).where(eq(effect.sessionId, sessionId));
  });

  // PromptsStuck compares `running` with what processes run, and nobody runs a prompt that waits for the model.
  test("a run that waits with its sandbox is waiting and not running, until it is overdue", async () => {
    const { orm } = database();
    const read = async () => (await readForScrape({ orm, leads: async () => true })).deployment;
    const others = (await read())?.prompts.running ?? 0;
    const run = await seedRun(database());
    const forModel = { waitingFor: "model", delayMs: 60_000, failure: FAILURE, outage: null } as const;
    await writerOf(orm, run).park(forModel, 60_000);
    expect(await read()).toMatchObject({ prompts: { running: others }, waiting: { model: 1 } });
    await orm.execute(
      sql`update prompt set lease_expires_at = now() - interval '1 second' where id = ${run.promptId}`,
    );
    expect(await read()).toMatchObject({ prompts: { running: others + 1 } });
  });
});

test("requests are labelled with the route's pattern, unknown routes share one label, and no user input becomes a label", async () => {
  const metrics = createMetrics({ version: "1", deployment: () => Promise.reject(new Error("away")) });
  const served = withMetrics(makeApp({ metrics }), metrics);
  const app = { handle: async (request: Request) => served.fetch(request) };
  await ask(app, undefined, "GET", "/health");
  await ask(app, undefined, "GET", `/sessions/${crypto.randomUUID()}`);
  for (const path of ["/nothing", "/nothing/else", "/x%00"]) await ask(app, "alice", "GET", path);
  const text = await metrics.text();
  const count = "prompt_backend_http_request_duration_seconds_count";
  expect(seriesOf(text, `${count}{method="GET",route="/health",status="2xx"}`)).toBe("1");
  expect(seriesOf(text, `${count}{method="GET",route="/sessions/:id",status="4xx"}`)).toBe("1");
  expect(text.match(/route="[^"]*"/g)?.filter((one) => /nothing|alice|[0-9a-f]{8}-/.test(one)) ?? []).toEqual(
    [],
  );
  // The database is unavailable: the scrape says so and exports no stale values.
  expect(seriesOf(text, "prompt_backend_database_up")).toBe("0");
  expect(text).not.toContain("prompt_backend_prompts{");
});

test("/metrics requires METRICS_TOKEN when set, and is not in the OpenAPI document", async () => {
  const app = makeApp({ env: { METRICS_TOKEN: "metrics-secret-1" } });
  expect((await ask(app, undefined, "GET", "/metrics")).status).toBe(401);
  const reply = await app.handle(
    new Request("http://localhost/metrics", { headers: { authorization: "Bearer metrics-secret-1" } }),
  );
  expect(reply.status).toBe(200);
  expect(reply.headers.get("content-type")).toContain("text/plain");
  expect(JSON.stringify((await ask(app, undefined, "GET", "/openapi.json")).body)).not.toContain("/metrics");
});

if (!Bun.which("promtool"))
  unavailable({ name: "promtool check metrics", reason: "promtool (package prometheus) is missing" });
else
  describeWith(["postgres", "redis"], "a server and a worker", () => {
    test("each exports its own metrics on its own port, and promtool accepts them", async () => {
      await using deployment = await createDeployment("redis");
      const repository = await makeRepository();
      await using backend = await startBackend(deployment, { args: ["server"] });
      const port = await freePort();
      await using running = await startWorker(deployment, ["bg-tasks"], { METRICS_PORT: String(port) });
      const { sessionId } = await backend.submit(repository.path, "Be counted");
      await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 60_000);
      const worker = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const server = await (await fetch(`${backend.url}/metrics`)).text();
      // What is of the whole deployment is shown once, so that a sum over processes is right.
      const held = [worker, server].map((text) => seriesOf(text, "prompt_backend_sandboxes_held"));
      expect(held.filter((one) => one !== undefined)).toEqual(["0"]);
      for (const text of [worker, server]) {
        expect(Number(seriesOf(text, "prompt_backend_database_round_trip_seconds"))).toBeGreaterThan(0);
        expect(seriesOf(text, "prompt_backend_database_pool_size")).toBe("10");
        expect(seriesOf(text, "prompt_backend_database_up")).toBe("1");
      }
      expect(
        seriesOf(worker, 'prompt_backend_runs_total{agent="demo",outcome="completed",kind="none"}'),
      ).toBe("1");
      for (const phase of ["queue", "prepare", "run", "finish"])
        expect(seriesOf(worker, `prompt_backend_run_phase_duration_seconds_count{phase="${phase}"}`)).toBe(
          "1",
        );
      expect(seriesOf(worker, 'prompt_backend_sandbox_returns_total{outcome="done"}')).toBe("1");
      expect(seriesOf(worker, "prompt_backend_active_runs")).toBe("0");
      expect(seriesOf(server, "prompt_backend_streams_open")).toBe("0");
      expect(seriesOf(server, "prompt_backend_stream_lag_seconds")).toBe("0");
      expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
      for (const text of [worker, server]) {
        const checked = Bun.spawnSync(["promtool", "check", "metrics"], {
          stdin: new TextEncoder().encode(text),
        });
        const said = checked.stderr.toString() + checked.stdout.toString();
        // prom-client's own metrics have names that promtool warns about.
        expect(said.split("\n").filter((line) => line.includes("prompt_backend"))).toEqual([]);
      }
      await repository.remove();
      // When the exporting process dies, the next one that is scraped takes over.
      const ofWorker = `http://127.0.0.1:${port}`;
      const [leader, other] = held[0] === undefined ? [backend.process, ofWorker] : [running, backend.url];
      leader.kill("SIGKILL");
      await until(
        async () =>
          seriesOf(await (await fetch(`${other}/metrics`)).text(), "prompt_backend_sandboxes_held") === "0",
        { what: "the other process to export the deployment's metrics" },
      );
    }, 120_000);
  });
