import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tryRead } from "../../shared/try-read.ts";

/** Identifies a process beyond doubt: the kernel reuses process ids, but not together with start time and boot. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot. */
  started: number;
  boot: string;
}

/** The unit of /proc, whatever the kernel uses internally. */
export const TICKS_PER_SECOND = 100;

/** The identity of a process that was started just now. */
export function identify(pid: number): ProcessIdentity {
  return { pid, started: startIn(tryRead(`/proc/${pid}/stat`)) ?? 0, boot: bootId() };
}

/** Whether this very process is running. */
export async function isAlive({ pid, started, boot }: ProcessIdentity): Promise<boolean> {
  if (boot !== bootId()) return false;
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return started === startIn(stat);
}

/**
 * Whether the process group that this process leads, or led, is still its own: while one of its members runs, the kernel
 * gives the id to nobody else.
 */
export async function ownsGroup({ pid, started, boot }: ProcessIdentity): Promise<boolean> {
  if (boot !== bootId()) return false;
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat === "" || Number(fieldsAfterName(stat)[19]) === started;
}

/**
 * A clock of the process's age, milliseconds. It follows the kernel's clock, because the machine's may be set; and it
 * reads that clock once, because limits ask several times a second.
 * @param waitedMs the part of its life that does not count.
 */
export function ageClock({ started }: ProcessIdentity, waitedMs = 0): () => number {
  const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  const age = uptime * 1000 - started * (1000 / TICKS_PER_SECOND) - waitedMs;
  const readAt = performance.now();
  return () => Math.max(0, age + performance.now() - readAt);
}

/** The fields of /proc/<pid>/stat from the state on: the name before it, in parentheses, may hold anything. */
export const fieldsAfterName = (stat: string): string[] => stat.slice(stat.lastIndexOf(")") + 2).split(" ");

/** Start time in the text of /proc/<pid>/stat; undefined without a process, or with only a zombie, which does nothing. */
function startIn(stat: string): number | undefined {
  if (stat === "") return undefined;
  const fields = fieldsAfterName(stat);
  return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
}

let currentBoot: string | undefined;
/** "" where the kernel does not say. */
export function bootId(): string {
  currentBoot ??= tryRead("/proc/sys/kernel/random/boot_id").trim();
  return currentBoot;
}
