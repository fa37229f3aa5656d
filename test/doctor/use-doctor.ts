import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../harness/backend.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

/** Runs `prompt-backend doctor` in a scratch folder of the test file. AGENT and PORT are set, so that they cannot fail. */
export function useDoctor() {
  setDefaultTimeout(TEST_TIMEOUT_MS);
  const scratch = { folder: "" };
  beforeAll(async () => {
    scratch.folder = await mkdtemp(join(tmpdir(), "pb-doctor-"));
  });
  afterAll(() => rm(scratch.folder, { recursive: true, force: true }));

  const doctor = (env: Record<string, string> = {}, args = ["--json"]) => {
    const base = { DATA_DIR: join(scratch.folder, "none"), AGENT: "demo", PORT: "0" };
    return runProgram(["doctor", ...args], { cwd: scratch.folder, env: { ...base, ...env } });
  };
  async function examined(env: Record<string, string> = {}) {
    const done = await doctor(env);
    expect(done.stderr).toBe("");
    const report = JSON.parse(done.stdout) as {
      status: string;
      checks: { check: string; status: string; detail: string; fix?: string }[];
    };
    for (const one of report.checks) expect([one.check, one.status === "ok"]).toEqual([one.check, !one.fix]);
    const of = (check: string) => {
      const found = report.checks.find((one) => one.check === check);
      return found && `${found.status}: ${found.detail}`;
    };
    return { code: done.code, text: done.stdout, status: report.status, of, checks: report.checks };
  }
  return { scratch, doctor, examined };
}
