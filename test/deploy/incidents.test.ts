import { expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { SQL } from "bun";
import { createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { ROOT, startPrometheus } from "./prometheus.ts";

const LONG = 240_000;
/** The real rules with shorter durations; thresholds stay. */
const hurried = (rules: string) =>
  rules
    .replace(/for: \d+m/g, "for: 1s")
    .replace(/offset 15m/g, "offset 5s")
    .replace(/\[(5m|15m|1h)\]/g, "[15s]");

/** A TCP proxy to PostgreSQL that can be interrupted. */
async function openProxy(target: URL) {
  const sockets = new Set<Socket>();
  const port = await freePort();
  let server: Server | undefined;
  const restore = () =>
    new Promise<void>((resolve) => {
      server = createServer((near) => {
        const far = connect(Number(target.port || 5432), target.hostname);
        for (const [one, other] of [
          [near, far],
          [far, near],
        ] as const) {
          sockets.add(one);
          one.pipe(other);
          one.on("error", () => other.destroy());
          one.on("close", () => {
            sockets.delete(one);
            other.destroy();
          });
        }
      }).listen(port, "127.0.0.1", resolve);
    });
  const cut = () => {
    server?.close();
    for (const socket of sockets) socket.destroy();
  };
  await restore();
  const url = new URL(target);
  url.host = `127.0.0.1:${port}`;
  return { url: url.href, cut, restore, [Symbol.dispose]: cut };
}

if (!Bun.which("prometheus")) unavailable({ name: "incidents", reason: "prometheus is missing" });
else
  describeWith(["postgres", "redis"], "incidents", () => {
    test(
      "each alert fires in its own incident, and none fires before",
      async () => {
        await using deployment = await createDeployment("redis");
        const repository = await makeRepository();
        const databaseUrl = String(deployment.env["DATABASE_URL"]);
        await using sql = new SQL({ url: databaseUrl, max: 1 });
        using proxy = await openProxy(new URL(databaseUrl));
        // Of titles: nothing listens there.
        const model = { ANTHROPIC_API_KEY: "sk-none", ANTHROPIC_BASE_URL: "http://127.0.0.1:9" };
        await using server = await startBackend(deployment, { args: ["server"], env: model });
        await using apart = await startBackend(deployment, {
          args: ["server"],
          env: { DATABASE_URL: proxy.url },
        });
        const port = await freePort();
        const script = 'if grep -q forever; then sleep 600; else echo x > "$(date +%N)"; fi';
        await using worker = await startWorker(deployment, ["bg-tasks"], {
          METRICS_PORT: String(port),
          AGENT: "command",
          AGENT_COMMAND: JSON.stringify(["sh", "-c", script]),
          ...model,
          BUDGET_USD_PER_DEPLOYMENT_DAY: "1000",
        });
        await using prometheus = await startPrometheus({
          urls: [server.url, apart.url, `http://127.0.0.1:${port}`],
          rules: hurried,
        });
        const staged: string[] = [];
        const fires = async (name: string, meanwhile: () => Promise<unknown> = async () => undefined) => {
          staged.push(name);
          await until(
            async () => {
              await meanwhile();
              return (await prometheus.firing()).includes(name);
            },
            { what: `${name} to fire`, timeoutMs: 60_000, everyMs: 250 },
          );
        };
        const silent = (what: string) =>
          until(async () => (await prometheus.firing()).length === 0, { what, timeoutMs: 60_000 });

        const done = await server.submit(repository.path, "One that ends");
        await server.waitForStatus(done.sessionId, "NeedsReviewIpReturned", 60_000);
        await until(
          async () => (await prometheus.query("prompt_backend:dead_letters:max offset 5s")).length,
          {
            what: "a few seconds of history",
            timeoutMs: 60_000,
          },
        );
        await until(async () => (await prometheus.query("count(up == 1) == 3")).length, {
          what: "all three processes to be scraped",
          timeoutMs: 30_000,
        });
        expect(await prometheus.firing()).toEqual([]);

        proxy.cut();
        await fires("DatabaseAway");
        await fires("ErrorBudgetBurns", () => apart.request("GET", "/sessions"));
        await proxy.restore();
        await silent("all alerts to clear after the database is back");

        await sql`insert into dead_letter_queue (id, task_type, entity_id, last_error)
          values (${crypto.randomUUID()}, 'prompt-run', ${done.promptId}, 'No.')`;
        await fires("DeadLettersGrow");
        await silent("the alert about one dead letter to clear");

        const spentToday = (usd: number) => sql`insert into spend (scope, subject, period, spent)
          values ('deployment_day', '', (now() at time zone 'utc')::date, ${usd * 1e9})
          on conflict (scope, subject, period) do update set spent = excluded.spent`;
        await spentToday(950);
        await fires("DayBudgetNearlyUsed");
        await spentToday(1000);
        await fires("BudgetsRefuseCalls", () => server.submit(repository.path, "One without a title"));
        await sql`update model_api set back_off_until = now() + interval '1 hour'`;
        await fires("ModelApiBacksOff");
        await sql`update model_api set back_off_until = null`;
        // Each may have cost five dollars.
        const lose = () => sql`insert into model_call
          (id, session_id, user_id, repo, agent, api, model, input_estimate, started_at)
          select gen_random_uuid(), ${done.sessionId}, 'u', 'r', 'a', 'anthropic', 'claude-haiku-4-5', 5000000, now() - interval '1 hour'
          from generate_series(1, 5)`;
        await fires("ModelCallsLost", lose);
        await fires("CostUnusual", lose);
        await spentToday(0);
        await silent("the alerts about money to clear");

        const endless = await server.submit(repository.path, "forever");
        await server.waitForStatus(endless.sessionId, "InProgress", 60_000);
        await until(async () => (await prometheus.query("sum(prompt_backend_active_runs) == 1")).length, {
          what: "the run to be scraped",
          timeoutMs: 30_000,
        });
        worker.kill("SIGKILL");
        await fires("PromptBackendDown");
        await fires("PromptsStuck");
        // No worker is left to pick any of these up.
        const waiting = await server.submit(repository.path, "Never begun");
        await sql`update prompt set created_at = now() - interval '1 hour' where id = ${waiting.promptId}`;
        await fires("PromptsWaitTooLong");
        await sql`update session set waiting = ${{ for: "model", reason: "Away.", since: "", until: "" }}
          where id = ${waiting.sessionId}`;
        await fires("PromptsHeldUp");
        await sql`update outbox set created_at = now() - interval '5 minutes', next_attempt_at = now() where published_at is null`;
        await fires("OutboxLag");
        await sql`insert into effect (id, session_id, kind, target, key, status, request, due_at)
          values (${crypto.randomUUID()}, ${done.sessionId}, 'pull_request', 't', 'k', 'intended', '{}', now() - interval '1 hour')`;
        await fires("EffectsLag");
        await sql`update session set sbx_config = (select sbx_config from session where id = ${endless.sessionId})
          where id = ${done.sessionId}`;
        await fires("SandboxesNotReturned");

        const rules = await Bun.file(join(ROOT, "deploy/prometheus/rules.yml")).text();
        expect(staged.sort()).toEqual(
          [...rules.matchAll(/alert: (\w+)/g)].map(([, name]) => String(name)).sort(),
        );
        await repository.remove();
      },
      LONG,
    );
  });
