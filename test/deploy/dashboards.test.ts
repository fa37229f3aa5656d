import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createStage, startBackend, startWorker } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { startProcess } from "../harness/process.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const ROOT = resolve(import.meta.dir, "../..");
const LONG = 180_000;

interface Panel {
  title: string;
  targets: { expr: string }[];
}

if (!Bun.which("prometheus")) unavailable({ name: "dashboards", reason: "prometheus is missing" });
else
  describeWith(["postgres", "redis"], "dashboards", () => {
    test(
      "every query of every panel has data, from a real Prometheus and a real run on four processes",
      async () => {
        await using stage = await createStage("redis");
        const repository = await makeRepository();
        const folder = await mkdtemp(join(tmpdir(), "pb-prometheus-"));
        const ports = [await freePort(), await freePort()];
        await using one = await startBackend(stage, { args: ["server"] });
        await using two = await startBackend(stage, { args: ["server"] });
        const worker = (port: number | undefined) =>
          startWorker(stage, ["bg-tasks"], { METRICS_PORT: String(port) });
        await using _first = await worker(ports[0]);
        await using _second = await worker(ports[1]);
        const targets = [one.url, two.url, ...ports.map((port) => `http://127.0.0.1:${port}`)].map(
          (url) => new URL(url).host,
        );
        const config = {
          global: { scrape_interval: "1s", evaluation_interval: "1s" },
          rule_files: [join(ROOT, "deploy/prometheus/rules.yml")],
          scrape_configs: [{ job_name: "prompt-backend", static_configs: [{ targets }] }],
        };
        await writeFile(join(folder, "prometheus.yml"), JSON.stringify(config));
        const port = await freePort();
        await using _prometheus = startProcess({
          argv: [
            "prometheus",
            `--config.file=${join(folder, "prometheus.yml")}`,
            `--storage.tsdb.path=${join(folder, "data")}`,
            `--web.listen-address=127.0.0.1:${port}`,
          ],
          cwd: folder,
        });
        const sessions = await Promise.all(
          [one, two, one, two].map((backend, n) => backend.submit(repository.path, `Count me ${n}`)),
        );
        for (const { sessionId } of sessions) await one.reaches(sessionId, "NeedsReviewIpReturned", 60_000);

        const ask = async (query: string) => {
          const reply = await fetch(
            `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`,
          );
          const body = (await reply.json()) as {
            status: string;
            error?: string;
            data: { result: { value: [number, string] }[] };
          };
          if (body.status !== "success") throw new Error(`${query}: ${body.error}`);
          return body.data.result.map(({ value }) => Number(value[1]));
        };
        const files = (await readdir(join(ROOT, "deploy/grafana/dashboards"))).filter((name) =>
          name.endsWith(".json"),
        );
        expect(files).toHaveLength(2);
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
            // What does not change has no rate, and so no quantile.
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
        await rm(folder, { recursive: true, force: true });
      },
      LONG,
    );
  });
