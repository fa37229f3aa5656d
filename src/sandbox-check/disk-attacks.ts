import { constants, existsSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { MIB } from "../shared/units.ts";
import { type Attack, all, blocked, codeOf, open } from "./attack.ts";
import { CHECK_LIMITS } from "./settings.ts";

/** Writes until it is refused. @returns undefined: all of it was written. */
function fill(path: string, bytes: number): string | undefined {
  try {
    const file = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    const chunk = Buffer.alloc(MIB, 1);
    for (let written = 0; written < bytes; written += chunk.length)
      if (writeSync(file, chunk) < chunk.length) return "cut short";
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

/** File systems that a program can write to: on disk and in memory. */
export const DISK_ATTACKS: readonly Attack[] = [
  {
    id: "limit-disk",
    title: "fill the disk from the checkout",
    stoppedBy: "disk quota",
    alone: true,
    async inside() {
      const failed = fill("fill", CHECK_LIMITS.diskBytes * 2);
      if (failed) return blocked(failed);
      // Where the use is watched, the run ends a moment later.
      await Bun.sleep(3000);
      return open(`${(CHECK_LIMITS.diskBytes * 2) / MIB} MiB were written`);
    },
  },
  {
    id: "limit-shared-memory",
    title: "fill the machine's memory through /dev/shm, /run and other file systems in memory",
    stoppedBy: "sized file systems",
    alone: true,
    inside: () =>
      all(
        ["/dev/shm", "/run", "/root", "/var/tmp", "/dev"].map((folder) => {
          const path = join(folder, `sandbox-check-fill-${process.pid}`);
          const failed = fill(path, CHECK_LIMITS.memoryBytes + 64 * MIB);
          if (existsSync(path)) rmSync(path);
          return failed ? blocked(`${folder}: ${failed}`) : open(`${folder} takes more than a run's memory`);
        }),
      ),
  },
];
