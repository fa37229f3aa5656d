import { ptr } from "bun:ffi";
import { constants, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Attack, type Attempt, all, blocked, CANARY, open, refused, untried } from "./attack.ts";
import { pids } from "./look.ts";
import { call, denied, judge } from "./syscalls.ts";

/** Blocked unless a file of any process in sight holds a secret of the check. */
function withoutCanary(file: string): Attempt {
  const found = pids().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "latin1").includes(CANARY);
    } catch {
      return false;
    }
  });
  return found.length > 0
    ? open(`${file} of ${found.join(", ")} holds a secret`)
    : blocked(`${file}: no secret in ${pids().length} processes`);
}

export const PROCESS_ATTACKS: readonly Attack[] = [
  {
    id: "process-service-proc",
    title: "read environ, maps and the root of the service's process",
    stoppedBy: "PID namespace",
    inside: ({ servicePid }) =>
      all(
        ["environ", "maps", "cmdline", "root/etc/hostname", "cwd"].map((file) =>
          refused(`/proc/${servicePid}/${file}`, () => {
            const text = readFileSync(`/proc/${servicePid}/${file}`, "latin1");
            // A number of the host may be one of ours as well.
            if (
              !text.includes(CANARY) &&
              readFileSync(`/proc/${servicePid}/status`, "utf8").includes(`NSpid:\t${servicePid}\n`)
            )
              throw new Error("a process of our own");
            return `${text.length} bytes read`;
          }),
        ),
      ),
  },
  {
    id: "process-environ",
    title: "find secrets in the environment or arguments of any process in sight",
    stoppedBy: "PID namespace",
    inside: () => all([withoutCanary("environ"), withoutCanary("cmdline")]),
  },
  {
    id: "process-own-environ",
    title: "find secrets of the service in one's own environment",
    stoppedBy: "the environment is built from nothing",
    inside: () => {
      const names = readFileSync("/proc/self/environ", "latin1")
        .split("\0")
        .map((one) => one.split("=")[0] ?? "")
        .filter((name) => /CANARY|DATABASE|REDIS|GITHUB|SECRET|PASSWORD|CREDENTIALS|KEYCLOAK/.test(name));
      return names.length > 0 ? open(names.join(", ")) : blocked("none");
    },
  },
  {
    id: "process-signal",
    title: "send signals to the service and to processes of other tenants",
    stoppedBy: "PID namespace",
    inside: ({ servicePid }) => {
      // Signal 0 only asks whether a signal could be sent. Small numbers are our own processes'.
      const result = call("kill", servicePid, 0);
      const mine = pids().includes(String(servicePid));
      if ("value" in result)
        return mine
          ? untried("the number is one of our own processes")
          : open("the service can be signalled");
      return blocked(`kill: ${result.error}`);
    },
  },
  {
    id: "process-ptrace",
    title: "trace the service, and processes of other users in sight",
    stoppedBy: "PID namespace, user of its own",
    inside: ({ servicePid }) => all(others(servicePid).map((pid) => lacking("ptrace", 0x4206, pid, 0, 0))),
  },
  {
    id: "process-memory",
    title: "read and write memory of processes of other users: process_vm_readv, /proc/<pid>/mem",
    stoppedBy: "PID namespace, user of its own",
    inside: ({ servicePid }) =>
      all(
        others(servicePid).flatMap((pid) => {
          const local = Buffer.alloc(8);
          // Two struct iovec: permission is asked for before the address is looked at.
          const vectors = Buffer.alloc(32);
          vectors.writeBigUInt64LE(BigInt(ptr(local)), 0);
          for (const at of [8, 24]) vectors.writeBigUInt64LE(8n, at);
          const [mine, theirs] = [ptr(vectors), ptr(vectors) + 16];
          return [
            lacking("process_vm_readv", pid, mine, 1, theirs, 1, 0),
            lacking("process_vm_writev", pid, mine, 1, theirs, 1, 0),
            refused(`/proc/${pid}/mem`, () => {
              openSync(`/proc/${pid}/mem`, constants.O_RDWR);
              return "opened for writing";
            }),
          ];
        }),
      ),
  },
  {
    id: "process-pidfd-getfd",
    title: "take descriptors of other users' processes by pidfd_getfd",
    stoppedBy: "PID namespace, user of its own",
    inside: ({ servicePid }) =>
      all(
        others(servicePid).map((pid) => {
          const pidfd = call("pidfd_open", pid, 0);
          return "error" in pidfd
            ? blocked(`pidfd_open: ${pidfd.error}`)
            : denied("pidfd_getfd", pidfd.value, 0, 0);
        }),
      ),
  },
  {
    id: "process-inherited-descriptors",
    title: "use descriptors from 3 up that were inherited",
    stoppedBy: "descriptors from 3 up are closed",
    inside() {
      // Bun opens its own with FD_CLOEXEC; an inherited one cannot have it.
      const inherited = readdirSync("/proc/self/fd").filter((fd) => {
        const flags = Number(fd) < 3 ? { error: "" } : call("fcntl", Number(fd), 1);
        return "value" in flags && (flags.value & 1) === 0;
      });
      const shown = inherited.map((fd) => `${fd} → ${readlinkSync(`/proc/self/fd/${fd}`)}`);
      return shown.length > 0 ? open(shown.join(", ")) : blocked("none");
    },
  },
  {
    id: "process-daemon",
    title: "outlive the run: a daemon in a session of its own, without environment, deaf to SIGTERM",
    stoppedBy: "PID namespace, cgroup",
    inside({ marker }) {
      const name = `daemon-${marker.replaceAll("/", "-")}`;
      const script = 'trap "" TERM HUP INT; while :; do sleep 0.05; done';
      const child = Bun.spawn(["/usr/bin/env", "-i", "/usr/bin/setsid", "/bin/sh", "-c", script, name], {
        stdio: ["ignore", "ignore", "ignore"],
        detached: true,
      });
      child.unref();
      return blocked("started");
    },
    async outside({ target }) {
      const name = `daemon-${target.marker.replaceAll("/", "-")}`;
      const alive = pids().filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(name);
        } catch {
          return false;
        }
      });
      return alive.length > 0
        ? open(`it still runs (${alive.join(", ")})`)
        : blocked("it ended with the run");
    },
  },
];

/** The service, by its number on the host, unless that is one of our own; and processes in sight that are not this user's. */
function others(servicePid: number): number[] {
  const foreign = pids().filter((pid) => ownerOf(pid) !== ownerOf("self"));
  return pids().includes(String(servicePid)) ? foreign.map(Number) : [servicePid, ...foreign.map(Number)];
}

function ownerOf(pid: string): string | undefined {
  try {
    return /^Uid:.*$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[0];
  } catch {
    return undefined;
  }
}

/** Like `denied`, but that there is no such process counts, too. */
function lacking(
  name: "ptrace" | "process_vm_readv" | "process_vm_writev",
  ...args: (number | bigint)[]
): Attempt {
  const result = call(name, ...args);
  return "error" in result && result.error === "ESRCH" ? blocked(`${name}: ESRCH`) : judge(name, result);
}
