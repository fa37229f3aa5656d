import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Sandbox, SandboxProcess } from "../../../src/sandboxes/sandbox.ts";
import { withTimeout } from "../../../src/shared/time.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { LIMIT_MS, linesOf, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { inotifyWatches } from "./inotify.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let fixture: SandboxFixture;
let repository: TestRepository;
let sandbox: Sandbox;
beforeAll(async () => {
  fixture = await openSandboxFixture({ isolated: false });
  repository = await makeRepository();
  sandbox = await fixture.open(fixture.request(repository.path));
  // The file system of the next sandbox is made soon after, by programs whose output this process reads.
  const spares = join(fixture.dataDir, "spare-disks");
  const makesSpare = readdirSync(dirname(sandbox.notes)).some((name) => name.endsWith(".img"));
  await until(() => !makesSpare || readdirSync(spares).some((name) => /^\d+\.img$/.test(name)), {
    what: "the next sandbox's file system to be there",
  });
});
afterAll(async () => {
  await fixture.remove();
  await repository.remove();
});

const start = (script: string): SandboxProcess =>
  sandbox.start({ argv: ["sh", "-c", script], env: {}, stdin: "", readable: [] }, LIMIT_MS);
/** Read system calls of this process so far. */
const reads = () => Number(/^syscr: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
const openFiles = () => readdirSync("/proc/self/fd").length;

/** Cause: output was read every 15 ms and the exit file every 10 ms, for each run. */
test("idle agents cost hardly any reads, and none of their watches is left when they have ended", async () => {
  const [watchesBefore, filesBefore] = [inotifyWatches(), openFiles()];
  const agents = Array.from({ length: 10 }, () => start("echo ready; exec sleep 600"));
  const outputs = agents.map(linesOf);
  await until(
    async () => (await Promise.all(agents.map((one) => one.usage()))).every((one) => one.outputBytes),
    {
      what: "all agents to be ready",
    },
  );
  await Bun.sleep(200);
  expect(inotifyWatches()).toBe(watchesBefore + agents.length);
  const before = reads();
  await Bun.sleep(2_000);
  // Two looks of each at output and aliveness, and what Bun's own event loop reads.
  expect(reads() - before).toBeLessThan(100);
  await Promise.all(agents.map((one) => one.stop(0)));
  expect(await Promise.all(outputs)).toEqual(agents.map(() => ["ready"]));
  expect(inotifyWatches()).toBe(watchesBefore);
  expect(openFiles()).toBeLessThanOrEqual(filesBefore + 2);
});

test("a detached process is not watched any more, can still be stopped gracefully, and can be attached to", async () => {
  const before = inotifyWatches();
  const first = start("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done");
  const lines = first.lines(0)[Symbol.asyncIterator]();
  expect((await lines.next()).value?.line).toBe("ready");
  const second = await sandbox.attach(first.record);
  if (!second) throw new Error("not found");
  expect(second.state).toBe("running");
  first.detach();
  expect(await lines.next()).toEqual({ done: true, value: undefined });
  expect(first.exit).rejects.toThrow("no longer watched");
  // The other watch of the same folder still works.
  const output = linesOf(second);
  expect(inotifyWatches()).toBe(before + 1);
  await first.stop(5_000);
  expect(await output).toEqual(["ready", "bye"]);
  expect((await second.exit).code).toBe(7);
  expect(inotifyWatches()).toBe(before);
  expect((await sandbox.attach(first.record))?.state).toBe("ended");
});

test("output and end arrive promptly", async () => {
  const agent = start("read _; echo one; sleep 0.3; echo two; sleep 0.3");
  const seen: number[] = [];
  const begin = performance.now();
  for await (const _ of agent.lines(0)) seen.push(performance.now() - begin);
  const end = performance.now() - begin;
  expect(seen).toHaveLength(2);
  expect((seen[1] ?? 0) - (seen[0] ?? 0)).toBeGreaterThan(200);
  // Nothing waited for the fallback's second.
  expect(end).toBeLessThan(1_600);
});

/**
 * Cause: it was killed once, before the supervisor's shell had joined the group or bubblewrap had made the namespace, and
 * then waited for until its own end.
 */
test.each([
  ["without isolation", { isolated: false }],
  ["without isolation and control groups", { isolated: false, cgroups: false }],
  ["where both are what there is", {}],
  ["without control groups", { cgroups: false }],
])("a program that is stopped as soon as it was started ends at once: %s", async (_, options) => {
  const own = await openSandboxFixture(options);
  try {
    const one = await own.open(own.request(own.repository.path));
    const argv = ["sh", "-c", "sleep 30"] as const;
    for (let i = 0; i < 3; i += 1) {
      const child = one.start({ argv, env: {}, stdin: "", readable: [] }, LIMIT_MS);
      await withTimeout(10_000, child.stop(0), "it went on");
      expect(await child.exit).toMatchObject({ code: null, signal: "SIGKILL" });
    }
  } finally {
    await own.remove();
  }
});

test("a later stop shortens the grace period", async () => {
  const agent = start("trap '' TERM; echo ready; while :; do sleep 0.01; done");
  for await (const { line } of agent.lines(0)) if (line === "ready") break;
  const slow = agent.stop(30_000);
  await withTimeout(5_000, agent.stop(0), "it went on");
  await slow;
});

/** Kills whoever writes the program's journal, once it has a line. */
async function killWriter({ output }: SandboxProcess): Promise<void> {
  await until(() => Bun.file(output).size > 0, { what: "the first line" });
  const [writer = ""] = (await Bun.$`pgrep -f of=${output}`.text()).split("\n");
  process.kill(Number(writer), "SIGKILL");
}

test("a program is lost when whoever writes its journal is killed: the broken pipe is no fault of its own", async () => {
  const agent = start("while :; do echo line; sleep 0.01; done");
  await killWriter(agent);
  expect(await agent.exit).toMatchObject({ lost: true, code: null });
});

/** Cause: exit code 0 counted as an end in order. Claude Code runs to its end without stdout, and what it printed is lost. */
test("a program that does not mind the broken pipe is lost with its journal's writer, too", async () => {
  const agent = start("trap '' PIPE; while echo line; do sleep 0.01; done 2>/dev/null; exit 0");
  await killWriter(agent);
  expect(await agent.exit).toMatchObject({ lost: true, code: null });
});

test("a program is lost when its supervisor is killed, too", async () => {
  const agent = start("echo ready; exec sleep 600");
  for await (const { line } of agent.lines(0)) if (line === "ready") break;
  process.kill(agent.record.pid, "SIGKILL");
  expect(await agent.exit).toMatchObject({ lost: true, code: null, signal: "SIGKILL" });
  expect((await sandbox.attach(agent.record))?.state).toBe("lost");
});
