import { readFileSync } from "node:fs";

const TICKS_PER_S = 100;

/** What a process has taken of a core so far, seconds. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Resident memory, MB, and how much of it no file has. */
export function memoryOf(pid: number): { rss: number; anonymous: number } {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const mb = (name: string) =>
    Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1] ?? Number.NaN) / 1024;
  return { rss: mb("VmRSS"), anonymous: mb("RssAnon") };
}

/** Proportional memory, MB: what processes share counts as a part of each. */
export function pssOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) / 1024;
}
