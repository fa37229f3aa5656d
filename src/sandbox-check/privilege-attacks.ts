import { ptr } from "bun:ffi";
import { constants, openSync, readFileSync, readlinkSync } from "node:fs";
import { setPriority } from "node:os";
import { type Attack, type Attempt, all, blocked, open, refused } from "./attack.ts";
import { call, denied, judge } from "./syscalls.ts";

export const PRIVILEGE_ATTACKS: readonly Attack[] = [
  {
    id: "process-stdout-seek",
    title: "seek in stdout, or cut off what was printed, to falsify the journal",
    stoppedBy: "stdout is a pipe",
    inside: () => all([1, 2].flatMap((fd) => [seek(fd), truncate(fd)])),
  },
  {
    id: "process-stdout-reopen",
    title: "open the journal anew through /proc/self/fd/1 and write anywhere in it",
    stoppedBy: "stdout is a pipe",
    inside() {
      const kinds = [1, 2].map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
      return all(
        kinds.map((kind) =>
          kind.startsWith("pipe:") || kind === "/dev/null"
            ? blocked(kind.split(":")[0] ?? "")
            : open(`it is the file ${kind}`),
        ),
      );
    },
  },
  {
    id: "process-gain-privileges",
    title: "gain privileges by setuid programs, file capabilities, setresuid, setgroups",
    stoppedBy: "no_new_privs, no capabilities",
    inside() {
      const status = readFileSync("/proc/self/status", "utf8");
      const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
      const sets = ["CapEff", "CapPrm", "CapInh", "CapAmb"].filter((name) => !/^0+$/.test(field(name)));
      return all([
        field("NoNewPrivs") === "1" ? blocked("no_new_privs") : open("no_new_privs is not set"),
        sets.length > 0 ? open(`capabilities in ${sets.join(", ")}`) : blocked("no capabilities"),
        denied("setgroups", 0, 0),
        ...(process.getuid?.() === 0 ? [open("it is user 0 of this namespace")] : [becomeRoot()]),
      ]);
    },
  },
  {
    id: "process-bounding-set",
    title: "keep capabilities in the bounding set for a later exploit",
    stoppedBy: "empty bounding set",
    inside() {
      const bounding = /^CapBnd:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
      return /^0+$/.test(bounding) ? blocked("empty") : open(bounding);
    },
  },
  {
    id: "process-priority",
    title: "raise one's own priority: nice -20, real-time scheduling",
    stoppedBy: "no capabilities",
    inside() {
      return all([denied("setpriority", 0, 0, -20), refused("nice", () => lower(-20)), realTime()]);
    },
  },
  {
    id: "process-terminal-input",
    title: "push input into a terminal (TIOCSTI, TIOCLINUX), also with high bits set",
    stoppedBy: "seccomp, a session of its own",
    inside: () =>
      all([
        denied("ioctl", 0, 0x5412, 0),
        denied("ioctl", 0, 0x541c, 0),
        denied("ioctl", 0, 0x1_0000_5412n, 0),
        refused("/dev/tty", () => String(openSync("/dev/tty", constants.O_RDWR))),
      ]),
  },
];

/** EINVAL: the namespace has no user 0. */
function becomeRoot(): Attempt {
  const result = call("setresuid", 0, 0, 0);
  return "error" in result && result.error === "EINVAL" ? blocked("no user 0") : judge("setresuid", result);
}

function seek(fd: number): Attempt {
  const result = call("lseek", fd, 1n << 43n, 0);
  if ("value" in result) {
    call("lseek", fd, 0, 2);
    return result.value === 0 ? blocked("lseek changes nothing") : open(`lseek moved to ${result.value}`);
  }
  return blocked(`lseek: ${result.error}`);
}

function truncate(fd: number): Attempt {
  const result = call("ftruncate", fd, 0);
  return "value" in result ? open("ftruncate emptied it") : blocked(`ftruncate: ${result.error}`);
}

/** SCHED_FIFO. */
function realTime(): Attempt {
  const parameter = Buffer.alloc(4);
  parameter.writeInt32LE(1);
  return denied("sched_setscheduler", 0, 1, ptr(parameter));
}

function lower(value: number): string {
  setPriority(0, value);
  return `priority ${value}`;
}
