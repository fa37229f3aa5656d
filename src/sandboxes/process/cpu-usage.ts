import { readFile } from "node:fs/promises";
import { fieldsAfterName } from "./identity.ts";
import { PROCESS_MARKER, processesByMark } from "./processes.ts";

/** A scan reads the environment of every process of the machine; all runs share one that is at most this old. */
const SCAN_MAX_AGE_MS = 1_000;

let scan: { at: number; pids: Promise<Map<string, number[]>> } | undefined;

/** CPU time, in clock ticks, of everything that one program started, descendants that have ended included. */
export async function cpuTicksOf(processId: string): Promise<number> {
  const now = performance.now();
  if (!scan || now - scan.at > SCAN_MAX_AGE_MS) scan = { at: now, pids: processesByMark(PROCESS_MARKER) };
  const pids = (await scan.pids).get(processId) ?? [];
  const ticks = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      // utime, stime, cutime, cstime.
      return fieldsAfterName(stat)
        .slice(11, 15)
        .reduce((sum, field) => sum + Number(field), 0);
    }),
  );
  return ticks.reduce((sum, one) => sum + one, 0);
}
