import { readFile } from "node:fs/promises";
import type { RunResources } from "./cgroup.ts";
import type { GroupUsage } from "./cgroup-usage.ts";
import { fieldsAfterName } from "./identity.ts";
import { type PidNamespace, pidsInNamespace } from "./namespace.ts";
import { PROCESS_MARKER, processesByMark } from "./processes.ts";

/** A scan reads the environment of every process of the machine; all runs share one that is at most this old. */
const SCAN_MAX_AGE_MS = 1_000;
const KIB = 1024;

let scan: { at: number; pids: Promise<Map<string, number[]>> } | undefined;

/** The processes of one program and what it started, where nothing but its mark tells them from others. */
async function pidsOfMarked(processId: string): Promise<readonly number[]> {
  const now = performance.now();
  if (!scan || now - scan.at > SCAN_MAX_AGE_MS) {
    // A look that fails is one figure missed: the next one counts what there is.
    const pids = processesByMark(PROCESS_MARKER).catch(() => new Map<string, number[]>());
    scan = { at: now, pids };
  }
  return (await scan.pids).get(processId) ?? [];
}

/** What one program and its children use, where no control group counts it. */
export async function scanUsage(
  program: { id: string; namespace: PidNamespace | undefined; isolated: boolean },
  limits: Pick<RunResources, "memoryBytes" | "maxProcesses">,
): Promise<Required<GroupUsage>> {
  const { id, namespace, isolated } = program;
  const pids = isolated ? namespace && pidsInNamespace(namespace) : await pidsOfMarked(id);
  const figures = await Promise.all((pids ?? []).map(figuresOf));
  const total = (name: keyof Figures) => figures.reduce((sum, one) => sum + one[name], 0);
  let memoryBytes = total("memoryBytes");
  // Processes share memory: what seems to be too much is counted again, by shares, which costs more to read.
  if (memoryBytes > limits.memoryBytes)
    memoryBytes = (await Promise.all((pids ?? []).map(shareOf))).reduce((sum, one) => sum + one, 0);
  const processes = total("threads");
  return {
    cpuTicks: total("cpuTicks"),
    memoryBytes,
    processes,
    peakProcesses: processes,
    outOfMemory: memoryBytes > limits.memoryBytes,
    outOfProcesses: processes >= limits.maxProcesses,
  };
}

interface Figures {
  cpuTicks: number;
  /** Without files that are mapped or cached. */
  memoryBytes: number;
  threads: number;
}

/** All 0 if it has ended. */
async function figuresOf(pid: number): Promise<Figures> {
  const [stat, status] = await Promise.all(
    ["stat", "status"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")),
  );
  // utime, stime, cutime, cstime: descendants that have ended are included.
  const ticks = fieldsAfterName(stat ?? "").slice(11, 15);
  return {
    cpuTicks: ticks.reduce((sum, field) => sum + Number(field), 0),
    memoryBytes: (valueIn(status, "RssAnon") + valueIn(status, "RssShmem")) * KIB,
    threads: valueIn(status, "Threads"),
  };
}

/** Its memory, of which each process that shares it counts a part. */
async function shareOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return (valueIn(text, "Pss_Anon") + valueIn(text, "Pss_Shmem")) * KIB;
}

const valueIn = (text: string | undefined, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text ?? "")?.[1] ?? 0);
