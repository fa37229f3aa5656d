import { CFunction, dlopen, ptr, toBuffer } from "bun:ffi";
import { constants, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Attack, type Attempt, all, blocked, failed, open, refused, untried } from "./attack.ts";
import { unopened } from "./look.ts";
import { call, callNumber, denied, judge } from "./syscalls.ts";

const NAMESPACES = {
  mnt: 0x0002_0000,
  cgroup: 0x0200_0000,
  uts: 0x0400_0000,
  ipc: 0x0800_0000,
  user: 0x1000_0000,
  pid: 0x2000_0000,
  net: 0x4000_0000,
} as const;
const CLONE_FS = 0x200;
const text = (value: string) => ptr(Buffer.from(`${value}\0`));

/** Blocked if the program fails, or does not exist. */
function failing(argv: [string, ...string[]]): Attempt {
  return refused(argv.join(" "), () => {
    const { exitCode, stderr } = Bun.spawnSync(argv, { stdio: ["ignore", "ignore", "pipe"], timeout: 5000 });
    if (exitCode !== 0)
      throw new Error(stderr.toString().trim().split("\n").at(-1) || `exit code ${exitCode}`);
    return "it worked";
  });
}

export const NAMESPACE_ATTACKS: readonly Attack[] = [
  {
    id: "namespace-user",
    title: "make a user namespace: unshare, clone, clone3",
    stoppedBy: "seccomp",
    inside: () =>
      all([
        failing(["unshare", "--user", "true"]),
        // Together with CLONE_FS the kernel itself would say EINVAL, and nothing is made.
        denied("clone", NAMESPACES.user | CLONE_FS, 0, 0, 0, 0),
        denied("clone3", 0, 0),
        denied("unshare", NAMESPACES.user),
      ]),
  },
  {
    id: "namespace-others",
    title: "make mount, network, PID, IPC, UTS and cgroup namespaces",
    stoppedBy: "seccomp",
    inside: () =>
      all(
        Object.entries(NAMESPACES)
          .filter(([name]) => name !== "user")
          .map(([, flag]) => denied("unshare", flag)),
      ),
  },
  {
    id: "namespace-enter",
    title: "enter a namespace of another process by setns",
    stoppedBy: "seccomp",
    inside: () =>
      all(
        ["mnt", "net", "pid", "user"].map((name) => {
          try {
            return denied("setns", openSync(`/proc/1/ns/${name}`, constants.O_RDONLY), 0);
          } catch {
            return denied("setns", -1, 0);
          }
        }),
      ),
  },
  {
    id: "mount-anything",
    title: "mount, unmount, remount writable; the new mount calls; pivot_root; chroot",
    stoppedBy: "seccomp, no capabilities",
    inside: () =>
      all([
        denied("mount", text("none"), text("/tmp"), text("tmpfs"), 0, 0),
        denied("mount", text("none"), text("/usr"), 0, 0x20 | 0x1000, 0),
        denied("umount2", text("/proc"), 2),
        denied("umount2", text("/proc/sys"), 2),
        denied("pivot_root", text("."), text(".")),
        denied("chroot", text(".")),
        denied("open_tree", -100, text("/"), 1),
        denied("fsopen", text("tmpfs"), 0),
        denied("move_mount", -1, 0, -1, 0, 0),
        denied("mount_setattr", -1, 0, 0, 0, 32),
      ]),
  },
  {
    id: "kernel-clock",
    title: "set the machine's clock",
    stoppedBy: "no capabilities",
    inside() {
      // The time that it is: where this works, the clock is off by microseconds.
      const now = Buffer.alloc(16);
      call("clock_gettime", 0, ptr(now));
      return denied("clock_settime", 0, ptr(now));
    },
  },
  {
    id: "cgroup-escape",
    title: "run a program on the host by release_agent, or lift one's own limits",
    stoppedBy: "no cgroup file system",
    inside() {
      const mounted = readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => / - cgroup2? /.test(line));
      const files = existsSync("/sys/fs/cgroup")
        ? readdirSync("/sys/fs/cgroup").map((one) => join("/sys/fs/cgroup", one))
        : [];
      return all([
        mounted.length > 0 ? open(`${mounted.length} cgroup file systems`) : blocked("none is mounted"),
        ...files.map((one) => unopened(join(one, "release_agent"))),
        denied("mount", text("none"), text("/tmp"), text("cgroup"), 0, 0),
      ]);
    },
  },
  {
    id: "syscall-x32",
    title: "go past the filter by the numbers of x32",
    stoppedBy: "seccomp",
    alone: true,
    inside: () =>
      process.arch === "x64"
        ? all([x32("keyctl", 250), x32("unshare", 272), x32("io_uring_setup", 425)])
        : untried("there is no x32 on this architecture"),
  },
  {
    id: "syscall-int80",
    title: "go past the filter by 32-bit system calls (int 0x80)",
    stoppedBy: "seccomp",
    alone: true,
    inside: () => (process.arch === "x64" ? int80() : untried("there is no int 0x80 on this architecture")),
  },
];

function x32(name: string, number: number): Attempt {
  return judge(`x32 ${name}`, callNumber(0x4000_0000 + number, [0, 0, 0]));
}

/** getpid of i386 (20), called through the old gate. Killed, or ENOSYS: the filter, or the kernel, knows no 32-bit calls. */
function int80(): Attempt {
  const { symbols } = dlopen("libc.so.6", {
    mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: "ptr" },
  });
  // Readable, writable, executable; private, anonymous.
  const page = symbols.mmap(null, 4096, 7, 0x22, -1, 0);
  if (page === null || Number(page) < 0) return failed("no executable memory");
  // push rbx; mov eax, 20; xor ebx, ebx; int 0x80; pop rbx; ret
  toBuffer(page, 0, 12).set([0x53, 0xb8, 20, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80, 0x5b, 0xc3]);
  const result = CFunction({ ptr: page, args: [], returns: "i32" })() as number;
  return result < 0 ? blocked(`int 0x80: error ${-result}`) : open(`int 0x80: getpid = ${result}`);
}
