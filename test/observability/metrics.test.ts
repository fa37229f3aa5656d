import { expect, setDefaultTimeout, test } from "bun:test";
import { sql } from "drizzle-orm";
import { readFigures } from "../../src/db/deployment-metrics.ts";
import { deadLetter } from "../../src/db/tables.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { ask, makeApp } from "../harness/app.ts";
import { createStage, startBackend, startWorker } from "../harness/backend.ts";
import { claimRun, describeEachDatabase, seedSession } from "../harness/databases.ts";
import { freePort } from "../harness/machine.ts";
import { PATIENCE_MS } from "../harness/patience.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(PATIENCE_MS);

/** The value of one series, by its name and labels as text. */
const seriesOf = (text: string, series: string) =>
  text
    .split("\n")
    .find((line) => line.startsWith(`${series} `))
    ?.split(" ")[1];

describeEachDatabase("the figures of the whole deployment", (database) => {
  test("are what the tables say", async () => {
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
    const figures = await readFigures(orm);
    expect(figures).toMatchObject({
      prompts: { queued: 3, running: 1 },
      deadLetters: { poison: 1 },
      sandboxesHeld: 0,
    });
    // Of those that could run: two wait behind one that runs.
    expect(Math.round(figures.oldestWaiting)).toBe(100);
  });
});

test("requests count by the route's pattern, unknown ones as one; nothing of a user's becomes a label", async () => {
  const metrics = createMetrics({ version: "1", domain: () => Promise.reject(new Error("away")) });
  const app = makeApp({ metrics });
  await ask(app, undefined, "GET", "/health");
  await ask(app, undefined, "GET", `/sessions/${crypto.randomUUID()}`);
  for (const path of ["/nothing", "/nothing/else", "/x%00"]) await ask(app, "alice", "GET", path);
  await until(async () => /route="none"/.test(await metrics.text()), { what: "the requests to be counted" });
  const text = await metrics.text();
  const count = "prompt_backend_http_request_duration_seconds_count";
  expect(seriesOf(text, `${count}{method="GET",route="/health",status="2xx"}`)).toBe("1");
  expect(seriesOf(text, `${count}{method="GET",route="/sessions/:id",status="4xx"}`)).toBe("1");
  expect(text.match(/route="[^"]*"/g)?.filter((one) => /nothing|alice|[0-9a-f]{8}-/.test(one)) ?? []).toEqual(
    [],
  );
  // The database is away: a scrape says so and shows no old figures.
  expect(seriesOf(text, "prompt_backend_database_up")).toBe("0");
  expect(text).not.toContain("prompt_backend_prompts{");
});

test("with a token /metrics asks for it, and is no part of the API's description", async () => {
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
    test("each shows its own on a port of its own; promtool finds nothing to say", async () => {
      await using stage = await createStage("redis");
      const repository = await makeRepository();
      await using backend = await startBackend(stage, { args: ["server"] });
      const port = await freePort();
      await using running = await startWorker(stage, ["bg-tasks"], { METRICS_PORT: String(port) });
      const { sessionId } = await backend.submit(repository.path, "Be counted");
      await backend.reaches(sessionId, "NeedsReviewIpReturned", 60_000);
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
        // What prom-client itself calls by older names is not ours to change.
        expect(said.split("\n").filter((line) => line.includes("prompt_backend"))).toEqual([]);
      }
      await repository.remove();
      // Whoever showed them dies; the next that is asked does.
      const ofWorker = `http://127.0.0.1:${port}`;
      const [leader, other] = held[0] === undefined ? [backend.process, ofWorker] : [running, backend.url];
      leader.kill("SIGKILL");
      await until(
        async () =>
          seriesOf(await (await fetch(`${other}/metrics`)).text(), "prompt_backend_sandboxes_held") === "0",
        { what: "the other process to show the deployment's figures" },
      );
    }, 120_000);
  });
