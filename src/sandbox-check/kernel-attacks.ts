import { ptr } from "bun:ffi";
import { constants, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { type Attack, all, blocked, open, refused } from "./attack.ts";
import { unopened } from "./look.ts";
import { denied } from "./syscalls.ts";

const text = (value: string) => ptr(Buffer.from(`${value}\0`));

export const KERNEL_ATTACKS: readonly Attack[] = [
  {
    id: "kernel-keys",
    title: "use the kernel's keyrings, which are not in a namespace",
    stoppedBy: "seccomp",
    inside: () =>
      all([
        denied("keyctl", 0, -3, 0, 0, 0),
        denied("add_key", text("user"), text("sandbox-check"), 0, 0, -1),
        denied("request_key", text("user"), text("sandbox-check"), 0, 0),
      ]),
  },
  {
    id: "kernel-io-uring",
    title: "set up an io_uring, which goes past system call filters",
    stoppedBy: "seccomp",
    inside: () => denied("io_uring_setup", 0, 0),
  },
  {
    id: "kernel-userfaultfd",
    title: "stop the kernel in the middle of a copy by userfaultfd",
    stoppedBy: "seccomp",
    inside: () => denied("userfaultfd", 0xffff_ffff),
  },
  {
    id: "kernel-bpf",
    title: "load a BPF program or make a map",
    stoppedBy: "seccomp",
    inside: () => denied("bpf", 0, 0, 0),
  },
  {
    id: "kernel-perf",
    title: "open a performance counter",
    stoppedBy: "seccomp",
    inside: () => denied("perf_event_open", 0, 0, -1, -1, 0),
  },
  {
    id: "kernel-modules",
    title: "load or remove a kernel module, or boot another kernel",
    stoppedBy: "seccomp, no capabilities",
    inside: () =>
      all([
        denied("init_module", 0, 0, 0),
        denied("finit_module", -1, 0, 0),
        denied("delete_module", text("sandbox-check-none"), 0x800),
        denied("kexec_load", 0, 0, 0, 0xffff),
        denied("kexec_file_load", -1, -1, 0, 0, 0xffff),
        // Wrong magic numbers: nothing is rebooted even where it is allowed.
        denied("reboot", 0, 0, 0, 0),
      ]),
  },
  {
    id: "kernel-administration",
    title: "swap, process accounting, quotas, I/O ports, file notification for whole file systems",
    stoppedBy: "seccomp, no capabilities",
    inside: () =>
      all([
        denied("swapon", text("/none"), 0),
        denied("acct", text("/none/none")),
        denied("iopl", 3),
        denied("ioperm", 0, 1, 1),
        denied("fanotify_init", 4, 0),
      ]),
  },
  {
    id: "kernel-log",
    title: "read the kernel's log, which may name addresses and other tenants' programs",
    stoppedBy: "seccomp",
    inside() {
      const buffer = Buffer.alloc(256);
      return denied("syslog", 3, ptr(buffer), buffer.length);
    },
  },
  {
    id: "kernel-core-pattern",
    title: "write settings of the kernel: core_pattern, modprobe, binfmt_misc",
    stoppedBy: "read-only /proc/sys",
    inside: () =>
      all(
        [
          "kernel/core_pattern",
          "kernel/modprobe",
          "kernel/hotplug",
          "vm/overcommit_memory",
          "fs/binfmt_misc/register",
          "net/ipv4/ip_forward",
        ].map((name) => unopened(`/proc/sys/${name}`)),
      ),
  },
  {
    id: "kernel-sysrq",
    title: "press the machine's keys: /proc/sysrq-trigger",
    stoppedBy: "read-only /proc",
    inside: () =>
      all([
        unopened("/proc/sysrq-trigger"),
        unopened("/proc/irq/default_smp_affinity"),
        unopened("/proc/mtrr"),
      ]),
  },
  {
    id: "kernel-memory-files",
    title: "read kernel memory and addresses: kcore, kallsyms, kpageflags, kmsg",
    stoppedBy: "hidden files of /proc, no capabilities",
    inside: () =>
      all([
        ...["kcore", "kpagecount", "kpageflags", "kmsg", "vmallocinfo", "slabinfo", "timer_list"].map(
          (name) =>
            refused(`/proc/${name}`, () => {
              const file = openSync(`/proc/${name}`, constants.O_RDONLY | constants.O_NONBLOCK);
              const size = readSync(file, Buffer.alloc(64));
              if (size === 0) throw new Error("empty");
              return `${size} bytes read`;
            }),
        ),
        refused("/proc/kallsyms", () => {
          const addresses = readFileSync("/proc/kallsyms", "utf8").split("\n").slice(0, 50);
          if (addresses.every((line) => line === "" || line.startsWith("0000000000000000")))
            throw new Error("no addresses");
          return "it shows addresses";
        }),
      ]),
  },
  {
    id: "kernel-sys",
    title: "reach /sys: devices, debugfs, tracefs, kernel parameters",
    stoppedBy: "no /sys",
    inside: () =>
      all(
        [
          "/sys/kernel",
          "/sys/kernel/debug",
          "/sys/kernel/tracing",
          "/sys/module",
          "/sys/class",
          "/sys/devices",
          "/sys/firmware",
        ].map((path) => (existsSync(path) ? open(`${path} is visible`) : blocked(`${path}: ENOENT`))),
      ),
  },
];
