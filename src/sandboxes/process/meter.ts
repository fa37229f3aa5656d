import { stat } from "node:fs/promises";
import type { GroupUsage } from "./cgroup-usage.ts";
import { readNamespace } from "./namespace.ts";
import { scanUsage } from "./process-usage.ts";
import type { SandboxRef } from "./sandbox-process.ts";
import type { ProcessFiles } from "./supervisor.ts";

/** What a program and everything it started use. */
export interface ProcessUsage {
  /** Processor time so far, in clock ticks. */
  cpuTicks: number;
  /** What it has printed. */
  outputBytes: number;
  /** Without the cache of files. */
  memoryBytes: number;
  /** Processes and threads. */
  processes: number;
  /** The most that was seen. */
  peak: { memoryBytes: number; processes: number };
  /** What it wanted more of than it may have; stays set. */
  exceeded: "memory" | "processes" | "output" | undefined;
}

export interface Meter {
  read(): Promise<ProcessUsage>;
  /** Reads a last time, after the end of everything, and removes the control group. Later readings repeat that one. */
  close(): Promise<void>;
}

export function createMeter(options: { sandbox: SandboxRef; files: ProcessFiles; processId: string }): Meter {
  const { sandbox, files, processId } = options;
  const { resources, maxOutputBytes, isolated } = sandbox;
  const group = sandbox.cgroups?.of(processId);
  const peak = { memoryBytes: 0, processes: 0 };
  let exceeded: ProcessUsage["exceeded"];
  let closed: GroupUsage | undefined;

  /** What no control group counts here is counted process by process. */
  const measure = async (): Promise<Required<GroupUsage>> => {
    const counted = closed ?? group?.usage();
    const { cpuTicks, memoryBytes, processes, peakProcesses = 0 } = counted ?? {};
    if (counted && cpuTicks !== undefined && memoryBytes !== undefined && processes !== undefined)
      return { ...counted, cpuTicks, memoryBytes, processes, peakProcesses };
    const namespace = isolated ? await readNamespace(files) : undefined;
    const scanned = await scanUsage({ id: processId, namespace, isolated }, resources);
    return {
      cpuTicks: cpuTicks ?? scanned.cpuTicks,
      memoryBytes: memoryBytes ?? scanned.memoryBytes,
      processes: processes ?? scanned.processes,
      peakProcesses: processes === undefined ? scanned.peakProcesses : peakProcesses,
      outOfMemory: counted && memoryBytes !== undefined ? counted.outOfMemory : scanned.outOfMemory,
      outOfProcesses: counted && processes !== undefined ? counted.outOfProcesses : scanned.outOfProcesses,
    };
  };

  const meter: Meter = {
    async read() {
      const [now, printed, complained] = await Promise.all([
        measure(),
        ...[files.out, files.err].map((file) =>
          stat(file).then(
            ({ size }) => size,
            () => 0,
          ),
        ),
      ]);
      const { cpuTicks, memoryBytes, processes, peakProcesses, outOfMemory, outOfProcesses } = now;
      // The kernel has refused what would have been above the limit: that was the peak.
      peak.memoryBytes = Math.max(peak.memoryBytes, outOfMemory ? resources.memoryBytes : memoryBytes);
      const refused = outOfProcesses ? resources.maxProcesses : 0;
      peak.processes = Math.max(peak.processes, processes, peakProcesses, refused);
      if (outOfMemory) exceeded ??= "memory";
      else if (outOfProcesses) exceeded ??= "processes";
      else if ((printed ?? 0) > maxOutputBytes) exceeded ??= "output";
      const outputBytes = (printed ?? 0) + (complained ?? 0);
      return { cpuTicks, outputBytes, memoryBytes, processes, peak: { ...peak }, exceeded };
    },
    async close() {
      const last = await measure();
      await meter.read();
      closed = last;
      await group?.remove();
    },
  };
  return meter;
}
