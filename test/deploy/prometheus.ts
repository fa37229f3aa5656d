import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../harness/machine.ts";
import { startProcess } from "../harness/process.ts";

export const ROOT = resolve(import.meta.dir, "../..");

/** Starts a Prometheus that scrapes these URLs every three seconds, with the rules of deploy/. Use with `await using`. */
export async function startPrometheus(options: {
  urls: readonly string[];
  /** Transforms the rules' text. */
  rules?: (text: string) => string;
}) {
  const { urls, rules = (text) => text } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-prometheus-"));
  await writeFile(
    join(folder, "rules.yml"),
    rules(await Bun.file(join(ROOT, "deploy/prometheus/rules.yml")).text()),
  );
  const config = {
    global: { scrape_interval: "3s", scrape_timeout: "3s", evaluation_interval: "1s" },
    rule_files: [join(folder, "rules.yml")],
    scrape_configs: [
      { job_name: "prompt-backend", static_configs: [{ targets: urls.map((url) => new URL(url).host) }] },
    ],
  };
  await writeFile(join(folder, "prometheus.yml"), JSON.stringify(config));
  const port = await freePort();
  const running = startProcess({
    argv: [
      "prometheus",
      `--config.file=${join(folder, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    cwd: folder,
  });
  const get = async <Data>(path: string): Promise<Data> => {
    const reply = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    const body = (await reply.json()) as { status: string; error?: string; data: Data };
    if (body.status !== "success") throw new Error(`${path}: ${body.error}`);
    return body.data;
  };
  return {
    /** @returns the values of an instant query. */
    async query(expression: string): Promise<number[]> {
      const { result } = await get<{ result: { value: [number, string] }[] }>(
        `query?query=${encodeURIComponent(expression)}`,
      );
      return result.map(({ value }) => Number(value[1]));
    },
    /** Names of the firing alerts, without duplicates. */
    async firing(): Promise<string[]> {
      const { alerts } = await get<{ alerts: { state: string; labels: Record<string, string> }[] }>("alerts");
      const names = alerts
        .filter(({ state }) => state === "firing")
        .map(({ labels }) => String(labels["alertname"]));
      return [...new Set(names)].sort();
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
