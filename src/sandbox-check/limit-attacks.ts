import { constants, openSync } from "node:fs";
import { MIB } from "../shared/units.ts";
import { type Attack, blocked, codeOf, open } from "./attack.ts";
import { readEnvironments, startWithEnvironments } from "./environment-bomb.ts";
import { CHECK_LIMITS } from "./settings.ts";

/** Memory, processes, descriptors and time: what the kernel counts of a run, and the supervisor's clock. */
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
    stoppedBy: "cgroup, else a limit of the user's processes",
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
    id: "limit-environments",
    title:
      "start as many processes as a run may have, with 1.8 MB of environment each, for the service to read",
    stoppedBy: "the service reads a bounded part of each environment, few at a time",
    inside: startWithEnvironments,
    meanwhile: readEnvironments,
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
];

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
