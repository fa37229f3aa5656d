import {
  constants,
  existsSync,
  mkdirSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type Attack, all, blocked, codeOf, failed, open } from "./attack.ts";

const MIB = 1024 * 1024;

/**
 * Limits of the check: far below an operator's, so that what exceeds them is small, and far above what a program that
 * only asks needs.
 */
export const CHECK_LIMITS = {
  memoryBytes: 512 * MIB,
  maxProcesses: 128,
  diskBytes: 64 * MIB,
  outputBytes: 24 * MIB,
};

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

export const LIMIT_ATTACKS: readonly Attack[] = [
  {
    id: "limit-memory",
    title: "use more memory than a run may, in several processes that are each below the limit",
    stoppedBy: "cgroup",
    needs: "memory",
    alone: true,
    async inside() {
      const each = Math.round(CHECK_LIMITS.memoryBytes * 0.6);
      // tail keeps what it reads in memory.
      const script = `head -c ${each} /dev/zero | tail -c ${each} | { head -c 1 >/dev/null; sleep 1; cat >/dev/null; }`;
      const children = [1, 2, 3].map(() =>
        Bun.spawn(["sh", "-c", `${script}`], { stdio: ["ignore", "ignore", "ignore"] }),
      );
      await Bun.sleep(2500);
      const peak = residentBytes();
      await Promise.all(children.map((one) => one.exited));
      return peak > CHECK_LIMITS.memoryBytes
        ? open(`${Math.round(peak / MIB)} MiB are used`)
        : blocked(`${Math.round(peak / MIB)} MiB at most`);
    },
  },
  {
    id: "limit-processes",
    title: "start more processes than a run may: a fork bomb",
    stoppedBy: "cgroup",
    needs: "processes",
    alone: true,
    inside() {
      const children: ReturnType<typeof Bun.spawn>[] = [];
      try {
        for (let count = 0; count < CHECK_LIMITS.maxProcesses * 2; count++)
          children.push(Bun.spawn(["sleep", "20"], { stdio: ["ignore", "ignore", "ignore"] }));
        return open(`${children.length} processes run`);
      } catch (error) {
        return blocked(`${codeOf(error)} after ${children.length}`);
      } finally {
        for (const child of children) child.kill("SIGKILL");
      }
    },
  },
  {
    id: "limit-descriptors",
    title: "open files without end",
    stoppedBy: "rlimit",
    alone: true,
    inside() {
      let count = 0;
      try {
        for (; count < 300_000; count++) openSync("/dev/null", constants.O_RDONLY);
        return open(`${count} files are open`);
      } catch (error) {
        return blocked(`${codeOf(error)} after ${count}`);
      }
    },
  },
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
  {
    id: "limit-output",
    title: "fill the disk with stdout",
    stoppedBy: "byte quota of the journal",
    alone: true,
    inside() {
      const chunk = Buffer.alloc(MIB, "y\n");
      try {
        for (let count = 0; count < (4 * CHECK_LIMITS.outputBytes) / MIB; count++) writeSync(1, chunk);
        return blocked("written");
      } catch (error) {
        return blocked(codeOf(error));
      }
    },
    outside: async ({ journalBytes }) =>
      journalBytes > 2 * CHECK_LIMITS.outputBytes
        ? open(`the journal has ${Math.round(journalBytes / MIB)} MiB`)
        : blocked(`the journal has ${(journalBytes / MIB).toFixed(1)} MiB`),
  },
  {
    id: "limit-long-line",
    title: "print one line that is as long as the quota",
    stoppedBy: "lines are cut",
    alone: true,
    inside() {
      const chunk = Buffer.alloc(MIB, "x");
      for (let count = 0; count < CHECK_LIMITS.outputBytes / MIB - 1; count++) writeSync(1, chunk);
      return blocked("written");
    },
    outside: async ({ longestLine }) =>
      longestLine > 17 * MIB
        ? open(`a line of ${longestLine} characters was read whole`)
        : blocked(`it was cut to ${longestLine} characters`),
  },
  {
    id: "limit-time",
    title: "run longer than a run may, deaf to SIGTERM",
    stoppedBy: "supervisor",
    alone: true,
    limitMs: 2000,
    async inside() {
      for (const name of ["SIGTERM", "SIGHUP", "SIGINT"] as const) process.on(name, () => undefined);
      await Bun.sleep(600_000);
      return open("it ran for ten minutes");
    },
    outside: async ({ exit }) =>
      exit && exit.code !== 0 ? blocked(`killed (exit code ${exit.code})`) : open("it ended by itself"),
  },
  {
    id: "limit-sparse-transcript",
    title: "leave a transcript of 40 GB, which no disk quota counts, for the service to read",
    stoppedBy: "size limit of files; the service reads a bounded part of regular files",
    inside({ paths, sessionId }) {
      const folder = join(paths.state, "projects", "-workspace");
      mkdirSync(folder, { recursive: true });
      const file = join(folder, `${sessionId}.jsonl`);
      writeFileSync(file, "{}\n");
      const most = [40, 8, 1, 0.05].find((size) => truncated(file, Math.round(size * 1024 ** 3)));
      return most ? blocked(`${most} GB were made`) : failed("no large file could be made");
    },
    async outside({ sandbox, request }) {
      const { createClaudeAgent } = await import("../agents/claude.ts");
      const agent = createClaudeAgent({ program: () => undefined, missing: "", model: undefined });
      try {
        await agent.discardUnusableTranscripts(sandbox.hostPaths.state, request.sessionId);
        const found = await agent.hasTranscript(sandbox.hostPaths.state, request.sessionId);
        return found ? open("the service would resume from it") : blocked("it is not resumed from");
      } catch (error) {
        return open(codeOf(error));
      }
    },
  },
];

/** False: larger than a file may be here. */
function truncated(file: string, bytes: number): boolean {
  try {
    truncateSync(file, bytes);
    return true;
  } catch {
    return false;
  }
}

/** Resident memory of all processes in sight. */
function residentBytes(): number {
  const { stdout } = Bun.spawnSync(["sh", "-c", "cat /proc/[0-9]*/statm 2>/dev/null"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  return stdout
    .toString()
    .trim()
    .split("\n")
    .reduce((sum, line) => sum + (Number(line.split(" ")[1]) - Number(line.split(" ")[2]) || 0) * 4096, 0);
}
