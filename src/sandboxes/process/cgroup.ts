import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import { sleep } from "../../shared/time.ts";
import { tryRead } from "../../shared/try-read.ts";
import {
  enableControllers,
  findHierarchies,
  groupsIn,
  type Hierarchy,
  joinFile,
  pidsIn,
  removeGroup,
  tryWrite,
} from "./cgroup-hierarchies.ts";
import { type GroupUsage, readGroup } from "./cgroup-usage.ts";
import { KILL_POLL_MS, KILL_TIMEOUT_MS, signal } from "./processes.ts";

/** What one run may use. */
export type RunResources = Config["runResources"];

/** Bubblewrap, its PID 1, the forwarder and `timeout` are in the group as well; their number is not the agent's matter. */
const OWN_PROCESSES = 8;
/** How the ids of groups begin that are made only to try it out. */
const PROBE_ID = "probe-";
const PROBE_TIMEOUT_MS = 5_000;
/** Joins groups, and prints which of them could be joined. The text is a constant; its arguments vary. */
const PROBE = `for file; do echo 0 2>/dev/null >"$file" && echo "$file"; done; :`;

/** What control groups can do on this machine. */
export interface GroupCapabilities {
  memory: boolean;
  processes: boolean;
  cpu: boolean;
}

/**
 * One group of processes. It outlives the service. Isolated programs cannot leave it; one without isolation that has the
 * service's user can, where a tree of version 2 was delegated to that user.
 */
export interface Cgroup {
  /** A process that writes 0 to each of these files joins, and so does all that it starts from then on. */
  readonly join: readonly string[];
  /** Undefined: there is no such group. */
  usage(): GroupUsage | undefined;
  /** Kills all processes in it, and waits. @throws Error if one of them has not ended after 5 seconds. */
  kill(): Promise<void>;
  /** Removes it when nothing is in it any more. Idempotent. */
  remove(): Promise<void>;
}

/** The groups of one machine's runs. */
export interface Cgroups {
  readonly capabilities: GroupCapabilities;
  /** @param id of the process that will be in it. @throws Error if the kernel refuses it or one of its limits. */
  create(id: string, resources: RunResources): Cgroup;
  /** The group of a process that may have been started by an earlier runner; there need not be one. */
  of(id: string): Cgroup;
  /** The ids of all groups that are there. */
  list(): string[];
}

/**
 * Tries what control groups can do on this machine.
 * @param options.host names this DATA_DIR on this machine: others may have groups on the same kernel.
 * @param options.hierarchies default: those of the machine.
 * @param options.mayMove whether this process may move to another group for it, default true.
 * @returns undefined where no group can be made.
 */
export async function openCgroups(options: {
  host: string;
  hierarchies?: readonly Hierarchy[];
  mayMove?: boolean;
}): Promise<Cgroups | undefined> {
  const candidates = options.hierarchies ?? machineHierarchies();
  const prefix = `prompt-backend-${options.host}-`;
  const usable = await tryOut(candidates, prefix + PROBE_ID + crypto.randomUUID(), options.mayMove ?? true);
  if (usable.length === 0) return undefined;
  const groupOf = (id: string) =>
    cgroup(usable.map((one) => ({ ...one, folder: join(one.folder, prefix + id) })));
  const has = (name: "memory" | "pids" | "cpu") => usable.some(({ controllers }) => controllers.has(name));
  return {
    capabilities: { memory: has("memory"), processes: has("pids"), cpu: has("cpu") },
    create(id, resources) {
      for (const one of usable) createIn(one, prefix + id, resources);
      return groupOf(id);
    },
    of: groupOf,
    list() {
      const names = usable.flatMap(({ folder }) => groupsIn(folder));
      return [...new Set(names)]
        .filter((name) => name.startsWith(prefix) && !name.startsWith(prefix + PROBE_ID))
        .map((name) => name.slice(prefix.length));
    },
  };
}

function machineHierarchies(): Hierarchy[] {
  try {
    return findHierarchies({
      mounts: readFileSync("/proc/self/mountinfo", "utf8"),
      own: readFileSync("/proc/self/cgroup", "utf8"),
      root: process.getuid?.() === 0,
    });
  } catch {
    // Not Linux.
    return [];
  }
}

/** The hierarchies in which a group can be made and joined: permissions alone do not say. */
async function tryOut(
  candidates: readonly Hierarchy[],
  name: string,
  mayMove: boolean,
): Promise<Hierarchy[]> {
  const made = candidates.flatMap((candidate) => {
    try {
      const hierarchy = candidate.version === 2 ? enableControllers(candidate, mayMove) : candidate;
      createIn(hierarchy, name, { memoryBytes: 2 ** 30, maxProcesses: 64, cpuWeight: 100, diskBytes: 0 });
      return [{ hierarchy, file: joinFile(hierarchy.version, join(hierarchy.folder, name)) }];
    } catch {
      return [];
    }
  });
  const child = Bun.spawn(["/bin/sh", "-c", PROBE, "probe", ...made.map(({ file }) => file)], {
    env: {},
    stdio: ["ignore", "pipe", "ignore"],
    timeout: PROBE_TIMEOUT_MS,
  });
  const joined = (await child.stdout.text()).split("\n");
  await child.exited;
  for (const { folder } of candidates) removeGroup(join(folder, name));
  const usable = made.filter(({ file }) => joined.includes(file)).map(({ hierarchy }) => hierarchy);
  // Where version 1 has the controllers, version 2 is empty, and one group more would slow every start.
  const old = usable.filter(({ version }) => version === 1);
  return old.some(({ controllers }) => controllers.has("pids")) && usable.every(isEmptyOrOld) ? old : usable;
}

const isEmptyOrOld = ({ version, controllers }: Hierarchy) => version === 1 || controllers.size === 1;

/** Makes a group with its limits. @throws Error, after removing it again, if a limit is refused. */
function createIn({ version, folder, controllers }: Hierarchy, name: string, resources: RunResources): void {
  const group = join(folder, name);
  const { memoryBytes, maxProcesses, cpuWeight } = resources;
  mkdirSync(group);
  const set = (file: string, value: number, optional = false) => {
    if (tryWrite(join(group, file), `${value}`) || optional) return;
    removeGroup(group);
    throw new Error(`${join(group, file)} could not be set to ${value}`);
  };
  // Without swap: it would turn a memory bomb into hours of disk traffic. Not every kernel counts it.
  if (controllers.has("memory") && version === 2) {
    set("memory.max", memoryBytes);
    set("memory.swap.max", 0, true);
    set("memory.oom.group", 1, true);
  } else if (controllers.has("memory")) {
    set("memory.limit_in_bytes", memoryBytes);
    set("memory.memsw.limit_in_bytes", memoryBytes, true);
    set("memory.swappiness", 0, true);
  }
  if (controllers.has("pids")) set("pids.max", maxProcesses + OWN_PROCESSES);
  if (controllers.has("cpu") && version === 2) set("cpu.weight", cpuWeight);
  else if (controllers.has("cpu")) set("cpu.shares", Math.max(2, Math.round((cpuWeight * 1024) / 100)));
}

/** @param parts the group's folder in each hierarchy. */
function cgroup(parts: readonly Hierarchy[]): Cgroup {
  const pids = () => [...new Set(parts.flatMap(({ folder }) => pidsIn(folder)))];
  /** A process that forks all the time is faster than whoever reads the list and kills, unless forking ends first. */
  const killOnce = () => {
    for (const { version, folder, controllers } of parts) {
      if (version === 2 && tryWrite(join(folder, "cgroup.kill"), "1")) return;
      if (controllers.has("pids")) tryWrite(join(folder, "pids.max"), "0");
    }
    for (const pid of pids()) signal(pid, "SIGKILL");
  };
  return {
    join: parts.map(({ version, folder }) => joinFile(version, folder)),
    usage: () => readGroup(parts),
    async kill() {
      const deadline = performance.now() + KILL_TIMEOUT_MS;
      // What ends by itself with its parent is gone a moment later, mostly.
      for (let pause = 1; pids().length > 0; pause = Math.min(2 * pause, KILL_POLL_MS)) {
        killOnce();
        if (performance.now() > deadline)
          throw new Error(`processes ${pids().join(", ")} of a run could not be killed`);
        await sleep(pause);
      }
    },
    async remove() {
      const deadline = performance.now() + KILL_TIMEOUT_MS;
      // The kernel counts a process that was just killed for a moment longer.
      while (
        parts.some(({ folder }) => tryRead(join(folder, "cgroup.procs")) === "" && !removeGroup(folder))
      ) {
        if (performance.now() > deadline) return;
        await sleep(KILL_POLL_MS);
      }
    },
  };
}
