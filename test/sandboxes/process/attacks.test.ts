import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SandboxProcess } from "../../../src/sandboxes/sandbox.ts";
import { forkBomb } from "../../harness/fork-bomb.ts";
import { SLOW_TEST_TIMEOUT_MS, TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { LIMIT_MS, linesOf, openSandboxFixture, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const LIMITS = { RUN_MEMORY_MB: "256", RUN_MAX_PROCESSES: "64", RUN_MAX_OUTPUT_MB: "1", RUN_DISK_MB: "300" };

/** Attacks on whoever keeps a program's output, and on whoever has to end it. */
for (const [name, options] of [
  ["under bubblewrap, in a control group", { env: LIMITS }],
  ["under bubblewrap, without control groups", { cgroups: false, env: LIMITS }],
  ["without isolation, in a control group", { isolated: false, env: LIMITS }],
  ["with neither", { isolated: false, cgroups: false, env: LIMITS }],
] as const)
  describe(name, () => {
    let fixture: SandboxFixture;
    let start: (script: string) => SandboxProcess;
    beforeAll(async () => {
      fixture = await openSandboxFixture(options);
      const sandbox = await fixture.open(fixture.request(fixture.repository.path));
      start = (script) =>
        sandbox.start({ argv: ["sh", "-c", script], env: { ANY: "1" }, stdin: "", readable: [] }, LIMIT_MS);
    });
    afterAll(() => fixture.remove());

    /** Cause: the journal itself was the program's stdout, and its reader spun on 8 TiB of zeros. */
    test("a program cannot seek in what it has printed, nor make it sparse", async () => {
      const agent = start(`perl -e 'seek(STDOUT, 1 << 43, 0) or print "no seek\\n"; print "x\\n"'`);
      expect(await linesOf(agent)).toEqual(["no seek", "x"]);
      expect(statSync(agent.output).size).toBe("no seek\nx\n".length);
    });

    /** Cause: the same; a truncated journal is shorter than what is stored of it. */
    test("a program cannot truncate what it has printed", async () => {
      const agent = start(
        `echo one; perl -e 'truncate(STDOUT, 0) or print "no truncate\\n"'; : >/dev/stdout; echo two`,
      );
      expect(await linesOf(agent)).toEqual(["one", "no truncate", "two"]);
    });

    test("a program has no other file descriptor than 0, 1 and 2", async () => {
      const agent = start("ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> \\(.*\\)/\\1 \\2/p'");
      const open = (await linesOf(agent)).filter(
        (line) => !line.endsWith("/fd") && !/\/proc\/\d+/.test(line),
      );
      expect(open.map((line) => Number(line.split(" ")[0]))).toEqual([0, 1, 2]);
    });

    test("no core dumps, and bounds on open files and on the size of one file", async () => {
      const [core, files, blocks] = (await linesOf(start("ulimit -c; ulimit -n; ulimit -f"))).map(Number);
      expect(core).toBe(0);
      expect(files).toBeLessThanOrEqual(2 ** 14);
      expect(blocks).toBe((300 * 1024 ** 2) / 512);
    });

    /** Each read is written at once; what is printed last is there when the program has ended. */
    test("output in small pieces arrives at once, and the last piece is not lost", async () => {
      const agent = start("for i in 1 2 3; do printf $i; done; echo; read line; seq 1 20000; printf end");
      expect(await linesOf(agent)).toEqual([
        "123",
        ...Array.from({ length: 20_000 }, (_, i) => `${i + 1}`),
        "end",
      ]);
    });

    /** Cause: `dd count=` counts reads, not bytes: 16 short ones would have used up 1 MB. */
    test("many short writes do not use up the quota", async () => {
      const agent = start("perl -e '$| = 1; for (1 .. 20000) { print \"a\\n\" }'");
      expect((await linesOf(agent)).length).toBe(20_000);
      expect((await agent.usage()).exceeded).toBeUndefined();
    });

    test("a flood of output breaks the pipe at its quota", async () => {
      const agent = start(`yes ${"x".repeat(1_000)}; echo $? >&2`);
      const lines = await linesOf(agent);
      expect(lines.length).toBeGreaterThan(1_000);
      expect(statSync(agent.output).size).toBeLessThan(3 * 1024 ** 2);
      expect((await agent.usage()).exceeded).toBe("output");
    });

    test("a flood of errors is dropped, and what is printed goes on", async () => {
      const agent = start("head -c 20M /dev/zero >&2; echo still here");
      expect(await linesOf(agent)).toEqual(["still here"]);
      expect((await agent.exit).code).toBe(0);
      expect((await agent.usage()).outputBytes).toBeLessThan(1.1 * 1024 ** 2);
    });

    test("a daemon that keeps the pipes open does not hold the run", async () => {
      const agent = start(
        `trap "" TERM HUP; setsid sh -c 'trap "" TERM HUP; sleep 4007; :' & echo started; exit 3`,
      );
      expect(await linesOf(agent)).toEqual(["started"]);
      expect((await agent.exit).code).toBe(3);
      expect(running("4007")).toEqual([]);
    });

    // With neither, nothing limits the bomb, and reading the marks of all processes is slower than forking.
    const isDefused = name !== "with neither";
    test.if(isDefused)("a fork bomb that is deaf to SIGTERM is killed as a whole", async () => {
      const agent = start(forkBomb("4008"));
      await until(async () => (await agent.usage()).exceeded === "processes", { what: "the bomb to go off" });
      await agent.stop(0);
      expect(running("4008")).toEqual([]);
    });
  });

/** The same as a user who is not root, if this one is, and the other may read these files. */
const user = 61_234;
const asUser = ["setpriv", "--reuid", `${user}`, "--regid", `${user}`, "--clear-groups", "--"];
const mayRead =
  process.getuid?.() === 0 &&
  Bun.spawnSync([...asUser, process.execPath, "-e", `await Bun.file("${import.meta.path}").text()`], {
    stderr: "ignore",
    env: {},
  }).exitCode === 0;
test.if(mayRead)(
  "an ordinary user's sandboxes withstand the same, without control groups",
  async () => {
    const home = await mkdtemp(join(tmpdir(), "pb-user-"));
    try {
      await chown(home, user, user);
      const child = Bun.spawn(
        [
          ...asUser,
          process.execPath,
          "test",
          import.meta.path,
          "-t",
          "under bubblewrap, without control groups",
        ],
        { env: { PATH: process.env["PATH"], HOME: home, TMPDIR: home }, stdout: "ignore", stderr: "pipe" },
      );
      const text = await child.stderr.text();
      expect(text).toContain(" 0 fail");
      expect(text).toMatch(/ [1-9]\d* pass/);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  },
  SLOW_TEST_TIMEOUT_MS,
);

/** Ids of the processes with this argument. */
function running(argument: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(argument);
    } catch {
      return false;
    }
  });
}
