import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { MIB } from "../shared/units.ts";
import { type Attack, all, blocked, codeOf, open } from "./attack.ts";
import { CHECK_LIMITS } from "./settings.ts";

/** An agent would make millions; with so many, which are ten times the limit, it is seen whether anything stops it. */
const MANY_FILES = 10 * CHECK_LIMITS.files;
const FOLDER = "many-files";
/** Where the use is only watched, a run that has reached its limit ends within this time. */
const WATCHED_MS = 3000;

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

/** @returns what it was refused with; undefined: all of them were made. */
function makeFiles(count: number): string | undefined {
  mkdirSync(FOLDER);
  try {
    for (let made = 0; made < count; made++) closeSync(openSync(join(FOLDER, `${made}`), "wx"));
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
      await Bun.sleep(WATCHED_MS);
      return open(`${(CHECK_LIMITS.diskBytes * 2) / MIB} MiB were written`);
    },
  },
  {
    id: "limit-inodes",
    title: "make empty files without end, which take no bytes of a quota but the inodes of the disk",
    stoppedBy: "disk quota, which counts files",
    alone: true,
    async inside() {
      const failed = makeFiles(MANY_FILES);
      if (failed) return blocked(failed);
      await Bun.sleep(WATCHED_MS);
      return open(`${MANY_FILES} files were made`);
    },
    async outside({ provider, sandbox, target }) {
      const { checkout } = sandbox.hostPaths;
      const made = readdirSync(join(checkout, FOLDER)).length;
      // Not by what statfs says: others use the disk, too.
      const taken = statSync(checkout).dev === statSync(target.dataDir).dev ? made : 0;
      await provider.release(sandbox.config);
      const most = provider.disk.enforced ? CHECK_LIMITS.files : MANY_FILES;
      return all([
        taken > most
          ? open(`${taken} files are on the service's disk`)
          : blocked(`${made} files were made, ${taken} of them on the service's disk`),
        existsSync(checkout)
          ? open("the files outlive the sandbox")
          : blocked("they are gone with the sandbox"),
      ]);
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
