import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createDeployment, runProgram, startBackend } from "../harness/backend.ts";
import { startProcess } from "../harness/process.ts";
import { makeRepository } from "../harness/repository.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { blocksOf, ROOT, shell } from "./guide.ts";

const LONG = 240_000;

describe("guides, executed as written", () => {
  test(
    "docs/QUICK_REFERENCE.md: every call succeeds",
    async () => {
      await using deployment = await createDeployment("embedded", { first: true });
      const repository = await makeRepository();
      const env = { AUTH_MODE: "local" };
      await using backend = await startBackend(deployment, { env });
      const { stdout } = await runProgram(["token", "--user", "me"], {
        env: { ...deployment.env, ...env },
        cwd: deployment.folder,
      });
      const TOKEN = stdout.trim().split("\n").at(-1) ?? "";
      const [block] = await blocksOf("docs/QUICK_REFERENCE.md");
      const failing = String(block?.commands).replaceAll("curl -sS", "curl -sS --fail-with-body");
      const { out, err, code } = await shell(failing, {
        cwd: deployment.folder,
        env: { URL: backend.url, TOKEN, REPO: repository.path },
      });
      expect([code, code === 0 ? "" : `${out}\n${err}`]).toEqual([0, ""]);
      await repository.remove();
    },
    LONG,
  );

  test(
    "docs/SETUP_LOCAL.md: from a fresh clone to a branch",
    async () => {
      await using deployment = await createDeployment("embedded", { first: true });
      const clone = join(deployment.folder, "clone");
      // Includes uncommitted changes, without what git ignores.
      await Bun.$`mkdir ${clone} && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t ${clone}`
        .cwd(ROOT)
        .quiet();
      const blocks = await blocksOf("docs/SETUP_LOCAL.md");
      const [start = "", use = "", look = ""] = blocks.map(({ commands }) => commands);
      await using running = startProcess({ argv: ["bash", "-c", start], cwd: clone, env: { PORT: "0" } });
      const [, url = ""] = await running.waitForLine(/listens on (\S+)/, { timeoutMs: START_TIMEOUT_MS });
      // The guide's port may be in use here.
      const { out, err, code } = await shell(use.replaceAll("http://127.0.0.1:8000", url), { cwd: clone });
      expect([code, err.includes("curl:") ? err : ""]).toEqual([0, ""]);
      expect(out).toContain('"success":true');
      await until(async () => (await shell(look, { cwd: clone })).out.includes("prompt/write-a-haiku"), {
        what: "the branch of the guide's prompt",
        timeoutMs: 60_000,
        everyMs: 500,
      });
      running.kill("SIGTERM");
      await running.exit;
    },
    LONG,
  );
});
