import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cgroup, Cgroups } from "../../../src/sandboxes/process/cgroup.ts";
import { killPrograms, sweepGroups } from "../../../src/sandboxes/process/kill-programs.ts";
import { MARKER, processesByMark } from "../../../src/sandboxes/process/processes.ts";
import { removeFolder } from "../../harness/remove-folder.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { LIMIT_MS, openSandboxFixture, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let fixture: SandboxFixture;
let scratch: string;
beforeAll(async () => {
  fixture = await openSandboxFixture({ isolated: false, cgroups: false });
  scratch = await mkdtemp(join(tmpdir(), "pb-kill-"));
});
afterAll(async () => {
  await fixture.remove();
  await removeFolder(scratch);
});

/** Control groups of which some are there, and the ids of those that were killed. */
function fakeGroups(...ids: string[]): Cgroups & { killed: string[] } {
  const killed: string[] = [];
  const of = (id: string): Cgroup => ({
    join: [],
    usage: () => (ids.includes(id) ? { outOfMemory: false, outOfProcesses: false } : undefined),
    kill: async () => void killed.push(id),
    remove: async () => undefined,
  });
  return {
    killed,
    of,
    create: of,
    list: () => ids,
    capabilities: { memory: true, processes: true, cpu: true },
  };
}

/** Cause: what it was started with was taken to be what a program would be started with now. */
test.each([
  ["isolated", { isolated: true, cgroups: undefined }],
  ["in control groups", { isolated: false, cgroups: fakeGroups() }],
  ["both", { isolated: true, cgroups: fakeGroups() }],
])("a program from before programs were %s is killed with its sandbox", async (_, now) => {
  const sandbox = await fixture.open(fixture.request(fixture.repository.path));
  const argv = ["sh", "-c", "echo ready; setsid sleep 60 & sleep 60"] as const;
  const child = sandbox.start({ argv, env: {}, stdin: "", readable: [] }, LIMIT_MS);
  for await (const { line } of child.lines(0)) if (line === "ready") break;
  const { id } = sandbox.config;
  await killPrograms({
    ...now,
    id,
    folder: join(fixture.dataDir, "sandboxes", id),
    host: child.record.host,
    resources: { memoryBytes: 2 ** 30, maxProcesses: 64, cpuWeight: 100, diskBytes: 2 ** 30 },
    maxOutputBytes: 2 ** 20,
  });
  expect((await processesByMark(MARKER)).get(id)).toBeUndefined();
});

/** Cause: a folder that could not be read held no programs, and the groups of living ones were swept away. */
test("no control group is swept away while the programs of a sandbox cannot be found out", async () => {
  const root = join(scratch, "sandboxes");
  const [dead, alive] = [crypto.randomUUID(), crypto.randomUUID()];
  await mkdir(join(root, "one", `process-${alive}`), { recursive: true });
  // Not readable, also for root.
  await symlink("two", join(root, "two"));
  const groups = fakeGroups(dead, alive);
  expect(sweepGroups(groups, root)).rejects.toThrow("ELOOP");
  expect(groups.killed).toEqual([]);
  await Bun.file(join(root, "two")).delete();
  // An image of a disk is no sandbox.
  await Bun.write(join(root, "trial.img"), "");
  await sweepGroups(groups, root);
  expect(groups.killed).toEqual([dead]);
});

/** Cause: with no descriptor left, no process had the mark, and the folder was removed under a running agent. */
test("who cannot look at processes does not take them for killed", async () => {
  const script = `import { killMarked, MARKER } from ${JSON.stringify(join(import.meta.dir, "../../../src/sandboxes/process/processes.ts"))};
    import { openSync } from "node:fs";
    const id = crypto.randomUUID();
    await killMarked(MARKER, id);
    try { for (;;) openSync("/dev/null"); } catch {}
    await killMarked(MARKER, id).then(() => console.log("none"), ({ code }) => console.log(code));`;
  const child = Bun.spawn(["sh", "-c", `ulimit -n 64; exec "$0" -e "$1"`, process.execPath, script], {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(await child.stdout.text()).toBe("EMFILE\n");
});
