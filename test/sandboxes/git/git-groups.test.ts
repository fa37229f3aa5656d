import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runBounded } from "../../../src/sandboxes/git/run-bounded.ts";
import { type Cgroups, openCgroups } from "../../../src/sandboxes/process/cgroup.ts";
import { sweepGroups } from "../../../src/sandboxes/process/kill-programs.ts";
import { ownedGroups } from "../../../src/sandboxes/process/owned-groups.ts";
import { unavailable } from "../../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { until } from "../../harness/until.ts";
import { never, openSandboxFixture, processArguments, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const MIB = 1024 ** 2;
const RESOURCES = { memoryBytes: 64 * MIB, maxProcesses: 24, cpuWeight: 100, diskBytes: 0 };
const groupsOfMachine = await openCgroups({ host: `git-test-${process.pid}` });
if (!groupsOfMachine) unavailable({ name: "control groups of git", reason: "there are no control groups" });

describe.if(groupsOfMachine !== undefined)("control groups of git", () => {
  const cgroups = groupsOfMachine as Cgroups;
  /** Marks the processes of a test: they sleep for so many seconds. */
  let mark = 0;
  const left = () => processArguments().filter((one) => one.includes(`${mark}`) && one.startsWith("sleep"));
  const run = (script: string, signal = never) => {
    const groups = ownedGroups(cgroups, RESOURCES);
    const argv = ["/bin/sh", "-c", script];
    const env = { PATH: process.env["PATH"] ?? "" };
    const stdio = { stdin: undefined, stdout: undefined, filter: undefined };
    const timeout = { ms: 60_000, fault: "machine" as const };
    return runBounded({ argv, cwd: "/", env, ...stdio, groups, timeout }, signal);
  };
  const nothingIsLeft = async () => {
    expect(left()).toEqual([]);
    await until(() => cgroups.list().length === 0, { what: "the group to be removed" });
  };
  /** Leaves the process group and holds the pipes of the program. */
  const daemon = () => `setsid sleep ${mark} &`;
  const next = () => {
    mark = 100_000 + Math.floor(Math.random() * 900_000);
  };

  // Limits of a process bound each of them; a thousand of them had a thousand times as much.
  test("a program that needs too much memory is killed, and says so", async () => {
    next();
    const started = run(`${daemon()} head -c 200000000 /dev/zero | tail`);
    await expect(started).rejects.toThrow("git was stopped: it needed more than 64 MB of memory");
    await nothingIsLeft();
  });

  test("one that forks without end is refused more processes, and all of them are killed", async () => {
    next();
    const started = run(`i=0; while [ $i -lt 200 ]; do ${daemon()} i=$((i + 1)); done; exit 1`);
    await expect(started).rejects.toThrow("git was stopped: it started more than 24 processes");
    await nothingIsLeft();
  });

  test("a daemon that holds the pipes neither delays the end nor outlives it", async () => {
    next();
    expect(await run(`echo out; ${daemon()}`)).toMatchObject({ code: 0, out: "out\n" });
    await nothingIsLeft();
  });

  test("an abort ends daemons that ignore SIGTERM", async () => {
    next();
    const stop = new AbortController();
    const started = run(`trap '' TERM; ${daemon()} sleep ${mark}; sleep ${mark}`, stop.signal);
    await until(() => left().length === 2, { what: "the programs to run" });
    stop.abort(new Error("shutting down"));
    await expect(started).rejects.toThrow("shutting down");
    await nothingIsLeft();
  });

  test("the sweep keeps groups of processes that run, and kills those of others", async () => {
    next();
    const stop = new AbortController();
    const started = run(`sleep ${mark}`, stop.signal);
    const stale = cgroups.create("owned-1-1-1", RESOURCES);
    await until(() => left().length === 1, { what: "the program to run" });
    const root = await mkdtemp(join(tmpdir(), "pb-no-sandboxes-"));
    await sweepGroups(cgroups, root);
    await rm(root, { recursive: true });
    expect(cgroups.list().map((id) => id.split("-")[1])).toEqual([`${process.pid}`]);
    expect(left()).toHaveLength(1);
    expect(stale.usage()).toBeUndefined();
    stop.abort(new Error("over"));
    await expect(started).rejects.toThrow("over");
    await nothingIsLeft();
  });

  test("git of a sandbox has a group: what it starts does not outlive it", async () => {
    next();
    const fixture: SandboxFixture = await openSandboxFixture({ isolated: false });
    try {
      const git = join(fixture.dataDir, "bin", "git");
      await rm(git);
      // Not what the script reads from: it would wait for the end of that.
      const closed = [3, 4, 5, 6, 7, 8, 9].map((fd) => `${fd}>&-`).join(" ");
      await writeFile(
        git,
        `#!/bin/sh\nsetsid sleep ${mark} >/dev/null 2>&1 ${closed} &\nexec /usr/bin/git "$@"\n`,
      );
      await chmod(git, 0o755);
      await fixture.open(fixture.request(fixture.repository.path));
      expect(left()).toEqual([]);
    } finally {
      await fixture.remove();
    }
  });
});
