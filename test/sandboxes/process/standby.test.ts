import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { AgentCommand } from "../../../src/agents/agent.ts";
import { ageClock, identify } from "../../../src/sandboxes/process/identity.ts";
import { PROCESS_MARKER, processesByMark } from "../../../src/sandboxes/process/processes.ts";
import { startProcess } from "../../harness/process.ts";
import { removeFolder } from "../../harness/remove-folder.ts";
import { makeRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { describeSandboxes, type SandboxSetup } from "../describe-sandboxes.ts";
import { LIMIT_MS, linesOf, whyNotIsolated } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const PRINT = `printf '%s|' "$ODD" "$0" "$@" "$PWD" "$HOME"; cat; cat /proc/self/fd/6 /proc/self/fd/7 2>/dev/null; exit 3`;
const command = (more: Partial<AgentCommand> = {}): AgentCommand => ({
  argv: ["sh", "-c", PRINT, "it's", "two\nlines", ""],
  env: { ODD: `'"$(exit)\n\\` },
  stdin: "its prompt\n",
  readable: [],
  ...more,
});
/** The programs that were started in the sandbox with this folder. */
const startedIn = (folder: string) =>
  readdirSync(folder).flatMap((name) => /^process-(.*)$/.exec(name)?.[1] ?? []);
const alive = async (id: string) => (await processesByMark(PROCESS_MARKER)).get(id)?.length ?? 0;

await describeSandboxes((setup) => {
  /** A sandbox that was made while it was known what the last agent needed. */
  const openAnother = async ({ fixture, repo }: SandboxSetup, last = command()) => {
    const first = await fixture.open(fixture.request(repo.path));
    await linesOf(first.start(last, LIMIT_MS));
    return fixture.open(fixture.request(repo.path));
  };

  test("an agent starts in what was made ready during the checkout, and is what it would be without", async () => {
    const sandbox = await openAnother(setup());
    const ready = startedIn(dirname(sandbox.notes));
    expect(ready).toHaveLength(setup().isolated ? 1 : 0);
    const child = sandbox.start(command(), LIMIT_MS);
    if (setup().isolated) {
      expect([child.record.id]).toEqual(ready);
      expect(child.record.waitedMs).toBeGreaterThan(0);
    }
    expect((await linesOf(child)).join("\n")).toBe(
      [
        `'"$(exit)\n\\`,
        "it's",
        "two\nlines",
        "",
        sandbox.paths.checkout,
        sandbox.paths.home,
        "its prompt",
      ].join("|"),
    );
    expect((await child.exit).code).toBe(3);
    expect(startedIn(dirname(sandbox.notes))).toHaveLength(1);
  });

  test("an agent that needs something else starts by itself, and what was made ready ends", async () => {
    const sandbox = await openAnother(setup());
    const ready = startedIn(dirname(sandbox.notes));
    const other = command({ readable: [setup().fixture.repository.path] });
    const child = sandbox.start(other, LIMIT_MS);
    expect(ready).not.toContain(child.record.id);
    expect((await linesOf(child)).join("\n")).toContain("its prompt");
    for (const id of ready)
      await until(async () => (await alive(id)) === 0, { what: "what was made ready to end" });
  });

  test("what was made ready and is not used ends with its sandbox", async () => {
    const sandbox = await openAnother(setup());
    const ready = startedIn(dirname(sandbox.notes));
    await setup().fixture.provider.release(sandbox.config);
    for (const id of ready) expect(await alive(id)).toBe(0);
    expect(existsSync(sandbox.hostPaths.checkout)).toBe(false);
  });

  test("nothing is made ready for a part of this program: the sandbox would not be known to hold nothing else", async () => {
    const sandbox = await openAnother(setup(), command({ builtIn: true }));
    expect(startedIn(dirname(sandbox.notes))).toEqual([]);
  });
});

test("the time that a process waited for its program is no part of its age", () => {
  const self = identify(process.pid);
  expect(ageClock(self)() - ageClock(self, 100)()).toBeCloseTo(100, -2);
});

test.if((await whyNotIsolated()) === undefined)("what waits ends with the service", async () => {
  const repository = await makeRepository();
  const folder = await mkdtemp(join(tmpdir(), "pb-standby-"));
  const script = `
    const { openSandboxFixture, linesOf } = await import(${JSON.stringify(join(import.meta.dir, "../fixture.ts"))});
    const fixture = await openSandboxFixture();
    const open = () => fixture.open(fixture.request(${JSON.stringify(repository.path)}));
    const command = { argv: ["true"], env: {}, stdin: "", readable: [] };
    await linesOf((await open()).start(command, ${LIMIT_MS}));
    const { notes } = await open();
    await fixture.repository.remove();
    console.log("waits in " + notes);
    setInterval(() => undefined, 1_000);`;
  await using service = startProcess({ argv: [process.execPath, "-e", script], cwd: folder });
  const line = await service.waitForLine(/waits in (\S+)/, { timeoutMs: TEST_TIMEOUT_MS });
  const sandbox = dirname(line[1] ?? "");
  const [ready = ""] = startedIn(sandbox);
  await until(() => alive(ready), { what: "the process to wait" });
  service.kill("SIGKILL");
  await until(async () => (await alive(ready)) === 0, { what: "the process to end" });
  await Promise.all([repository.remove(), ...[folder, join(sandbox, "../..")].map(removeFolder)]);
});
