import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { ROOT, startPrometheus } from "./prometheus.ts";

const LONG = 180_000;

interface Panel {
  title: string;
  targets: { expr: string }[];
}

if (!Bun.which("prometheus")) unavailable({ name: "dashboards", reason: "prometheus is missing" });
else
  describeWith(["postgres", "redis"], "dashboards", () => {
    test(
      "every query of every panel has data: a Prometheus, four processes and real runs",
      async () => {
        await using deployment = await createDeployment("redis");
        const repository = await makeRepository();
        const ports = [await freePort(), await freePort()];
        await using one = await startBackend(deployment, { args: ["server"] });
        await using two = await startBackend(deployment, { args: ["server"] });
        const worker = (port: number | undefined) =>
          startWorker(deployment, ["bg-tasks"], {
            METRICS_PORT: String(port),
            BUDGET_USD_PER_DEPLOYMENT_DAY: "20",
          });
        await using _first = await worker(ports[0]);
        await using _second = await worker(ports[1]);
        await using prometheus = await startPrometheus({
          urls: [one.url, two.url, ...ports.map((port) => `http://127.0.0.1:${port}`)],
        });
        const sessions = await Promise.all(
          [one, two, one, two].map((backend, n) => backend.submit(repository.path, `Count me ${n}`)),
        );
        for (const { sessionId } of sessions)
          await one.waitForStatus(sessionId, "NeedsReviewIpReturned", 60_000);

        const ask = prometheus.query;
        const files = (await readdir(join(ROOT, "deploy/grafana/dashboards"))).filter((name) =>
          name.endsWith(".json"),
        );
        expect(files).toHaveLength(3);
        const empty = async () => {
          const lacking: string[] = [];
          for (const file of files) {
            const { panels } = (await Bun.file(join(ROOT, "deploy/grafana/dashboards", file)).json()) as {
              panels: Panel[];
            };
            for (const { title, targets: queries } of panels)
              for (const { expr } of queries) {
                const values = await ask(expr);
                if (values.length === 0 || values.every(Number.isNaN)) lacking.push(`${title}: ${expr}`);
              }
          }
          return lacking;
        };
        await until(
          async () => {
            // Without changes there is no rate, and so no quantile.
            await one.submit(repository.path, "Go on");
            return (await empty()).length === 0;
          },
          {
            what: "data in every panel",
            timeoutMs: 60_000,
            everyMs: 1_000,
          },
        ).catch(async () => expect(await empty()).toEqual([]));
        expect(await ask('count(up{job="prompt-backend"} == 1)')).toEqual([4]);
        await repository.remove();
      },
      LONG,
    );
  });
