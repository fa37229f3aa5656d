import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { all, blocked, failed, open, untried } from "../../src/sandbox-check/attack.ts";
import { etcCanaryOf } from "../../src/sandbox-check/canaries.ts";
import { judged } from "../../src/sandbox-check/judged.ts";
import { ATTACKS } from "../../src/sandbox-check/table.ts";
import { programArgv, runProgram } from "../harness/backend.ts";
import { unavailable } from "../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { whyNotIsolated } from "../sandboxes/fixture.ts";
import { isRoot } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-check-command-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const env = (dataDir: string) => ({ DATA_DIR: dataDir, AUTH_MODE: "local" });

test("an attack that does not exist is a mistake of the call: exit code 2, and the valid ones are named", async () => {
  const { code, stderr } = await runProgram(["sandbox-check", "nope"], { cwd: folder, env: env(folder) });
  expect(code).toBe(2);
  expect(stderr).toContain("there is no attack nope; valid: file-data-dir, ");
  expect((await readdir(folder)).filter((name) => name.startsWith("check-"))).toEqual([]);
});

test("attacks refuse to run outside of a sandbox, the harmless ones without a flag, too", async () => {
  // Both do nothing even if they ran.
  for (const args of [["file-data-dir"], ["--unisolated", "process-own-environ"], ["--unisolated", "nope"]]) {
    const child = Bun.spawn([...programArgv(), "attack", ...args], {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: folder },
      stdio: [new Blob(["{}"]), "pipe", "pipe"],
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("runs only inside a sandbox");
  }
});

test("few attacks are harmless to a machine without isolation", () => {
  const ids = ATTACKS.filter(({ harmless }) => harmless).map(({ id }) => id);
  expect(ids).toEqual(["file-data-dir", "network-loopback", "network-take-port"]);
});

test("a program that did not start, did not answer, or died without a reason is no proof that an attack is blocked", () => {
  const exit = { code: 137, stderr: "" };
  const ended = { reports: new Map(), started: true, timedOut: false, exit };
  expect(judged({ id: "x" }, { ...ended, started: false })).toMatchObject({ blocked: null, failed: true });
  expect(judged({ id: "x" }, { ...ended, timedOut: true })).toMatchObject({ blocked: null, failed: true });
  expect(judged({ id: "x" }, ended)).toMatchObject({ blocked: null, failed: true });
  expect(judged({ id: "x", alone: true }, ended).blocked).toBe(true);
  expect(judged({ id: "x", alone: true }, { ...ended, exit: { code: 0, stderr: "" } }).failed).toBe(true);
});

test("of several attempts an open one counts most, then a failed one", () => {
  expect(all([blocked("a"), failed("b"), open("c")])).toEqual(open("c"));
  expect(all([blocked("a"), failed("b"), untried("c")])).toEqual(failed("b"));
  expect(all([untried("a"), blocked("b")])).toEqual(blocked("b"));
  expect(all([])).toMatchObject({ blocked: null });
});

const reason = await whyNotIsolated();
if (reason) unavailable({ name: "an interrupted sandbox-check", reason });
else
  for (const signal of ["SIGTERM", "SIGKILL"] as const)
    test(`after ${signal} nothing of a check is left: ${signal === "SIGKILL" ? "the next one" : "it"} cleans up`, async () => {
      const dataDir = join(folder, signal);
      await mkdir(dataDir);
      const start = (id: string) =>
        Bun.spawn([...programArgv(), "sandbox-check", id], {
          cwd: folder,
          env: { PATH: process.env["PATH"], HOME: folder, ...env(dataDir) },
          stdio: ["ignore", "ignore", "pipe"],
        });
      const check = start("limit-time");
      // Another tenant, and the sandbox of the attack.
      const found = await until(
        async () => {
          const name = (await readdir(dataDir)).find((one) => one.startsWith("check-"));
          const below = name ? await readdir(join(dataDir, name, "data/sandboxes"), { recursive: true }) : [];
          const sandboxes = below.filter((one) => /\/process-[^/]+\/?$/.test(one));
          return name && sandboxes.length >= 2 ? join(dataDir, name) : undefined;
        },
        { what: "the attack's sandbox" },
      );
      if (isRoot) expect(existsSync(etcCanaryOf(found))).toBe(true);
      check.kill(signal);
      await check.exited;
      if (signal === "SIGTERM") expect(await check.stderr.text()).toContain("sandbox-check was interrupted");
      else expect(await start("file-data-dir").exited).toBe(0);
      expect(await readdir(dataDir)).toEqual([]);
      expect(existsSync(etcCanaryOf(found))).toBe(false);
      expect(await Bun.file("/proc/self/mountinfo").text()).not.toContain(dataDir);
      expect(await Bun.$`pgrep -f ${found}`.nothrow().quiet().text()).toBe("");
    });
