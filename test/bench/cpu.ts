import { readdir, readFile } from "node:fs/promises";

/** Clock ticks a second: what Linux tells programs, on every architecture that we run on. */
const TICKS = 100;

export interface Cpu {
  /** Seconds of all threads. */
  ours: number;
  postgres: number;
}

/** Processor time that a process and PostgreSQL have spent while `work` ran. Of 10 ms, as the kernel counts it. */
export async function cpuOf<Result>(
  pids: { ours: number; postmaster: number },
  work: () => Promise<Result>,
): Promise<{ result: Result; cpu: Cpu }> {
  const before = await read(pids);
  const result = await work();
  const after = await read(pids);
  return {
    result,
    cpu: { ours: after.ours - before.ours, postgres: after.postgres - before.postgres },
  };
}

async function read({ ours, postmaster }: { ours: number; postmaster: number }): Promise<Cpu> {
  const all = await Promise.all((await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(stat));
  const seconds = (matches: (one: Stat) => boolean) =>
    all.reduce((sum, one) => sum + (one && matches(one) ? one.seconds : 0), 0);
  // What its children had used that have ended is counted with the postmaster.
  const ended = all.find((one) => one?.pid === postmaster)?.ended ?? 0;
  return {
    ours: seconds(({ pid }) => pid === ours),
    postgres: seconds(({ pid, parent }) => pid === postmaster || parent === postmaster) + ended,
  };
}

interface Stat {
  pid: number;
  parent: number;
  seconds: number;
  /** Of its children that have ended. */
  ended: number;
}

/** Undefined for a process that ends meanwhile. */
async function stat(name: string): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${name}/stat`, "utf8").catch(() => undefined);
  // The program's name, in parentheses, may contain anything.
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  if (!fields) return undefined;
  const at = (index: number) => Number(fields[index]);
  return {
    pid: Number(name),
    parent: at(1),
    seconds: (at(11) + at(12)) / TICKS,
    ended: (at(13) + at(14)) / TICKS,
  };
}
