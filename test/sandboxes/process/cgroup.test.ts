import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCgroups } from "../../../src/sandboxes/process/cgroup.ts";
import {
  enableControllers,
  findHierarchies,
  type Hierarchy,
} from "../../../src/sandboxes/process/cgroup-hierarchies.ts";
import { readGroup } from "../../../src/sandboxes/process/cgroup-usage.ts";
import { until } from "../../harness/until.ts";

const MIB = 1024 ** 2;
const RESOURCES = { memoryBytes: 64 * MIB, maxProcesses: 20, cpuWeight: 50, diskBytes: MIB };
const mount = (folder: string, type: string, options: string, root = "/") =>
  `30 20 0:26 ${root} ${folder} rw,nosuid - ${type} ${type} rw,${options}`;

describe("which hierarchies a machine has", () => {
  test("version 1: a folder for each controller; what is no controller is left out", () => {
    const mounts = [
      mount("/sys/fs/cgroup/memory", "cgroup", "memory"),
      mount("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct"),
      mount("/sys/fs/cgroup/systemd", "cgroup", "xattr,name=systemd"),
      mount("/proc", "proc", "hidepid=2"),
    ].join("\n");
    expect(findHierarchies({ mounts, own: "4:memory:/x\n", root: true })).toEqual([
      { version: 1, folder: "/sys/fs/cgroup/memory", controllers: new Set(["memory"]) },
      { version: 1, folder: "/sys/fs/cgroup/cpu,cpuacct", controllers: new Set(["cpu", "cpuacct"]) },
    ]);
  });

  test.each([
    ["root uses the mounted folder", true, "/", "0::/system.slice/pb.service", "/c"],
    ["others use their own group", false, "/", "0::/system.slice/pb.service", "/c/system.slice/pb.service"],
    ["the group above systemd's DelegateSubgroup", false, "/", "0::/s/pb.service/service", "/c/s/pb.service"],
    ["a container sees a part of the tree", false, "/docker/1", "0::/docker/1/x", "/c/x"],
  ])("version 2: %s", (_, root, mountRoot, own, folder) => {
    const mounts = mount("/c", "cgroup2", "nsdelegate", mountRoot);
    expect(findHierarchies({ mounts, own: `${own}\n`, root })[0]).toMatchObject({ version: 2, folder });
  });
});

describe("version 2, against a folder that stands in for the kernel's", () => {
  const folders: string[] = [];
  afterEach(async () => {
    for (const one of folders.splice(0)) await rm(one, { recursive: true });
  });
  /** @param files those that the kernel makes in every new group. */
  const standIn = async (controllers: string, files: Record<string, string>) => {
    const folder = await mkdtemp(join(tmpdir(), "pb-cgroup-"));
    folders.push(folder);
    writeFileSync(join(folder, "cgroup.controllers"), `${controllers}\n`);
    writeFileSync(join(folder, "cgroup.subtree_control"), "");
    const group = join(folder, "group");
    mkdirSync(group);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(group, name), text);
    return { folder, group };
  };

  test("its groups get the controllers that are wanted and available", async () => {
    const { folder } = await standIn("cpuset cpu io memory pids", {});
    const found = enableControllers({ version: 2, folder, controllers: new Set() }, true);
    expect(readFileSync(join(folder, "cgroup.subtree_control"), "utf8")).toBe("+memory +pids +cpu");
    expect([...found.controllers].sort()).toEqual(["cpu", "cpuacct", "memory", "pids"]);
  });

  test("what a group uses, and which limit it has reached", async () => {
    const files = {
      "memory.stat": "anon 1000\nfile 5000\nshmem 24\n",
      "memory.events": "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n",
      "pids.current": "7\n",
      "pids.peak": "9\n",
      "pids.events": "max 3\n",
      "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    };
    const { group } = await standIn("", files);
    const parts = [
      { version: 2, folder: group, controllers: new Set(["memory", "pids", "cpuacct"]) },
    ] as const satisfies readonly Hierarchy[];
    const usage = { cpuTicks: 250, memoryBytes: 1024, processes: 7, peakProcesses: 9 };
    expect(readGroup(parts)).toEqual({ ...usage, outOfMemory: true, outOfProcesses: true });
    // The kernel killed it because the whole machine was out of memory.
    writeFileSync(join(group, "memory.events"), "max 0\noom 0\noom_kill 1\n");
    expect(readGroup(parts)?.outOfMemory).toBe(false);
    rmSync(group, { recursive: true });
    expect(readGroup(parts)).toBeUndefined();
  });
});

const cgroups = await openCgroups({ host: "test" });
const V2 = "/sys/fs/cgroup/unified";
const unified = existsSync(join(V2, "cgroup.procs"))
  ? await openCgroups({
      host: "test2",
      hierarchies: [{ version: 2, folder: V2, controllers: new Set() }],
    })
  : undefined;

for (const [name, groups] of [
  ["what this machine has", cgroups],
  ["version 2 without controllers", unified],
] as const)
  describe.if(groups !== undefined)(`groups of the kernel: ${name}`, () => {
    const start = (id: string, script: string) => {
      const group = groups?.create(id, RESOURCES);
      const join = 'for file; do echo 0 >"$file" || exit 9; done; ';
      Bun.spawn(["/bin/sh", "-c", join + script, "sh", ...(group?.join ?? [])], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      return group;
    };

    test("daemons that are deaf to signals and cleared their environment are killed, and the group is removed", async () => {
      const id = crypto.randomUUID();
      const group = start(
        id,
        `trap "" TERM HUP; for i in 1 2 3; do setsid env -i sh -c 'trap "" TERM HUP; sleep 600; :' & done; wait`,
      );
      await until(() => (group?.usage()?.cpuTicks ?? 0) > 0, { what: "it to run" });
      expect(groups?.list()).toContain(id);
      await group?.kill();
      await group?.remove();
      expect(groups?.list()).not.toContain(id);
      expect(group?.usage()).toBeUndefined();
      // Whoever comes later finds nothing, which is no error.
      await groups?.of(id).kill();
      await groups?.of(id).remove();
    });
  });

test.if(cgroups?.capabilities.processes === true)("another program may not join half of its limits", () => {
  const id = crypto.randomUUID();
  cgroups?.create(id, RESOURCES);
  expect(() => cgroups?.create(id, RESOURCES)).toThrow("EEXIST");
  return cgroups?.of(id).remove();
});
