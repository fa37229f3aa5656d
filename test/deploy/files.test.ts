import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { YAML } from "bun";
import { unavailable } from "../harness/services.ts";

const ROOT = resolve(import.meta.dir, "../..");
const read = (path: string) => Bun.file(join(ROOT, path)).text();

test("the Dockerfile: an unprivileged user, a health check, signal forwarding", async () => {
  const text = await read("Dockerfile");
  expect(text).toMatch(/^USER (?!root|0)/m);
  expect(text).toMatch(/^HEALTHCHECK /m);
  expect(text).toMatch(/^STOPSIGNAL SIGTERM$/m);
  expect(text).toMatch(/^ENTRYPOINT \["tini", "--", "prompt-backend"\]$/m);
  expect(text).not.toMatch(/^(ARG|ENV) .*(PASSWORD|TOKEN|SECRET|KEY)/m);
});

test("what the Dockerfile copies exists, and .dockerignore lets it through", async () => {
  const sent = (await read(".dockerignore")).split("\n").filter((line) => line.startsWith("!"));
  const copied = [...(await read("Dockerfile")).matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    ([, sources = ""]) => sources.split(" "),
  );
  expect(copied).toContain("src");
  for (const source of copied)
    expect([source, existsSync(join(ROOT, source)), sent.includes(`!${source}`)]).toEqual([
      source,
      true,
      true,
    ]);
});

describe("GitHub workflows", () => {
  const folder = join(ROOT, ".github/workflows");
  test.each(readdirSync(folder))(
    "%s: minimal permissions, timeouts, pinned actions, existing files",
    async (name) => {
      const workflow = YAML.parse(await read(`.github/workflows/${name}`)) as {
        permissions: Record<string, string>;
        jobs: Record<string, { "timeout-minutes": number; steps: { uses?: string; run?: string }[] }>;
      };
      expect(workflow.permissions).toEqual({ contents: "read" });
      for (const job of Object.values(workflow.jobs)) {
        expect(job["timeout-minutes"]).toBeGreaterThan(0);
        for (const step of job.steps) {
          expect(Boolean(step.uses) !== Boolean(step.run)).toBe(true);
          if (step.uses) expect(step.uses).toMatch(/^[\w./-]+@v\d+(\.\d+)*$/);
          // Untrusted input must not become part of a script's text.
          expect(step.run ?? "").not.toContain("${{");
          for (const [, file = ""] of (step.run ?? "").matchAll(/(?:^|\s)(\.ci\/\S+)/g))
            expect([file, existsSync(join(ROOT, file))]).toEqual([file, true]);
        }
      }
    },
  );
});

// Where `or vector(0)` stands for what has not happened yet, a name that does not exist would show 0 for ever.
test("dashboards, rules and docs/OPERATIONS.md name metrics that exist", async () => {
  const files = new Bun.Glob("src/observability/*.ts").scan(ROOT);
  const sources = await Array.fromAsync(files, (file) => read(file));
  const known = sources.flatMap((text) =>
    [...text.matchAll(/(?:\b(?:counter|gauge|histogram)\(\s*"|prompt_backend_)(\w+)/g)].map(
      ([, name]) => name,
    ),
  );
  const dashboards = ["overview", "runs", "costs"].map(
    (name) => `deploy/grafana/dashboards/prompt-backend-${name}.json`,
  );
  for (const file of [...dashboards, "deploy/prometheus/rules.yml", "docs/OPERATIONS.md"])
    for (const [, name = ""] of (await read(file)).matchAll(/(?<!grep )\bprompt_backend_(\w+)/g))
      expect([file, name, known.includes(name.replace(/_(?:bucket|sum|count)$/, ""))]).toEqual([
        file,
        name,
        true,
      ]);
});

if (!Bun.which("promtool"))
  unavailable({ name: "Prometheus' rules", reason: "promtool (package prometheus) is missing" });
else
  describe("Prometheus", () => {
    const promtool = (...args: string[]) => {
      const { exitCode, stdout, stderr } = Bun.spawnSync(["promtool", ...args], {
        cwd: join(ROOT, "deploy/prometheus"),
      });
      expect([exitCode, exitCode === 0 ? "" : `${stdout}${stderr}`]).toEqual([0, ""]);
    };
    test("configuration and rules are valid", () => {
      promtool("check", "config", "prometheus.yml");
      promtool("check", "rules", "rules.yml");
    });
    test("every alert fires when it should and is silent otherwise", async () => {
      promtool("test", "rules", "rules.test.yml");
      const names = [...(await read("deploy/prometheus/rules.yml")).matchAll(/alert: (\w+)/g)].map(
        ([, name]) => name,
      );
      const tested = await read("deploy/prometheus/rules.test.yml");
      for (const name of names) {
        expect(tested).toContain(`${name} fires`);
        expect(tested).toContain(`${name} stays quiet`);
      }
    }, 60_000);
    test("every alert has a section in docs/OPERATIONS.md", async () => {
      const guide = await read("docs/OPERATIONS.md");
      const anchors = [...guide.matchAll(/^#+ (\w+)$/gm)].map(([, title = ""]) => title.toLowerCase());
      for (const [, anchor = ""] of (await read("deploy/prometheus/rules.yml")).matchAll(
        /OPERATIONS\.md#(\w+)/g,
      ))
        expect(anchors).toContain(anchor);
    });
  });
