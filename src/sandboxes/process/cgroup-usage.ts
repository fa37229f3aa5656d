import { existsSync } from "node:fs";
import { join } from "node:path";
import { tryRead } from "../../shared/try-read.ts";
import type { Hierarchy } from "./cgroup-hierarchies.ts";
import { TICKS_PER_SECOND } from "./identity.ts";

/** A group whose memory was refused has come this near to its limit: what was refused may have been several pages. */
const NEARLY = 0.95;

/** What a group uses. A figure that no controller counts is undefined. */
export interface GroupUsage {
  /** Processor time so far, in clock ticks, of everything that was ever in it. */
  cpuTicks?: number;
  /** Memory that cannot be written back to a file: the cache of files is left out, which the kernel takes back. */
  memoryBytes?: number;
  /** Processes and threads. */
  processes?: number;
  /** The most processes and threads so far, where the kernel counts them. */
  peakProcesses?: number;
  /** Whether the kernel has killed one of its processes because the group needed more memory than it may have. */
  outOfMemory: boolean;
  /** Whether the kernel has refused it a process. */
  outOfProcesses: boolean;
}

/** @param parts the group's folder in each hierarchy. @returns undefined if there is none. */
export function readGroup(parts: readonly Hierarchy[]): GroupUsage | undefined {
  const there = parts.filter(({ folder }) => existsSync(folder));
  if (there.length === 0) return undefined;
  const usage: GroupUsage = { outOfMemory: false, outOfProcesses: false };
  for (const { version, folder, controllers } of there) {
    const read = (name: string) => tryRead(join(folder, name));
    if (controllers.has("memory")) {
      const stat = read("memory.stat");
      usage.memoryBytes = version === 2 ? sum(stat, "anon", "shmem") : sum(stat, "total_rss", "total_shmem");
      usage.outOfMemory = version === 2 ? oomKilled(read("memory.events")) : oomKilledV1(read);
    }
    if (controllers.has("pids")) {
      usage.processes = Number(read("pids.current"));
      usage.peakProcesses = Number(read("pids.peak"));
      usage.outOfProcesses = sum(read("pids.events"), "max") > 0;
    }
    if (controllers.has("cpuacct"))
      usage.cpuTicks =
        version === 2
          ? (sum(read("cpu.stat"), "usage_usec") / 1e6) * TICKS_PER_SECOND
          : (Number(read("cpuacct.usage")) / 1e9) * TICKS_PER_SECOND;
  }
  return usage;
}

/** `oom_kill` alone also counts what a machine without any memory left has killed: that is no fault of the run. */
const oomKilled = (events: string) => sum(events, "oom_kill") > 0 && sum(events, "oom") > 0;

/** The same in version 1, whose own counter of failures stays at 0 in newer kernels (seen in 6.18). */
const oomKilledV1 = (read: (name: string) => string) =>
  sum(read("memory.oom_control"), "oom_kill") > 0 &&
  Number(read("memory.max_usage_in_bytes")) > Number(read("memory.limit_in_bytes")) * NEARLY;

/** Adds up the named lines of a file with `name value` in each. */
function sum(text: string, ...names: readonly string[]): number {
  let total = 0;
  for (const line of text.split("\n")) {
    const [name = "", value] = line.split(" ");
    if (names.includes(name)) total += Number(value);
  }
  return total;
}
