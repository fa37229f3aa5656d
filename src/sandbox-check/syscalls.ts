import { dlopen, read } from "bun:ffi";
import { type Attempt, blocked, failed, open, untried } from "./attack.ts";

/** Numbers on x64 and arm64; undefined: the architecture does not have it. */
const NUMBERS = {
  getpid: [39, 172],
  fcntl: [72, 25],
  lseek: [8, 62],
  ftruncate: [77, 46],
  kill: [62, 129],
  mkdirat: [258, 34],
  chdir: [80, 49],
  socket: [41, 198],
  ioctl: [16, 29],
  prctl: [157, 167],
  unshare: [272, 97],
  clone: [56, 220],
  clone3: [435, 435],
  setns: [308, 268],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  mount_setattr: [442, 442],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  io_uring_setup: [425, 425],
  userfaultfd: [323, 282],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  fanotify_init: [300, 262],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  reboot: [169, 142],
  swapon: [167, 224],
  acct: [163, 89],
  quotactl: [179, 60],
  iopl: [172, undefined],
  ioperm: [173, undefined],
  clock_settime: [227, 112],
  clock_gettime: [228, 113],
  syslog: [103, 116],
  open_by_handle_at: [304, 265],
  name_to_handle_at: [303, 264],
  mknodat: [259, 33],
  setxattr: [188, 5],
  capset: [126, 91],
  setresuid: [117, 147],
  setgroups: [116, 159],
  setpriority: [141, 140],
  sched_setscheduler: [144, 119],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_open: [434, 434],
  pidfd_getfd: [438, 438],
  kcmp: [312, 272],
} as const;
export type Syscall = keyof typeof NUMBERS;

const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  9: "EBADF",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  17: "EEXIST",
  22: "EINVAL",
  25: "ENOTTY",
  29: "ESPIPE",
  38: "ENOSYS",
  93: "EPROTONOSUPPORT",
  94: "ESOCKTNOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
};
/** What the kernel answers when it, or the filter, does not let the call through. */
const REFUSALS = new Set(["EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"]);

type Libc = ReturnType<typeof load>;
let libc: Libc | undefined;

function load() {
  const args = Array.from({ length: 7 }, () => "i64" as const);
  return dlopen("libc.so.6", {
    syscall: { args, returns: "i64" },
    __errno_location: { args: [], returns: "ptr" },
  }).symbols;
}

export type SyscallResult = { value: number } | { error: string };

/** Calls the kernel by number. @throws Error where there is no C library to call it through. */
export function callNumber(number: number, args: readonly (number | bigint)[]): SyscallResult {
  libc ??= load();
  const six = Array.from({ length: 6 }, (_, index) => BigInt(args[index] ?? 0));
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = six;
  const value = Number(libc.syscall(BigInt(number), a, b, c, d, e, f));
  if (value !== -1) return { value };
  const at = libc.__errno_location();
  const errno = at === null ? 0 : read.i32(at);
  return { error: ERRNO[errno] ?? `errno ${errno}` };
}

export function call(name: Syscall, ...args: (number | bigint)[]): SyscallResult {
  const number = NUMBERS[name][process.arch === "arm64" ? 1 : 0];
  return number === undefined ? { error: "not on this architecture" } : callNumber(number, args);
}

/**
 * Blocked if the call is refused; an error about its arguments shows that it was let through. The arguments of those who
 * use it are chosen so that a call which is let through does no harm.
 */
export function denied(name: Syscall, ...args: (number | bigint)[]): Attempt {
  try {
    return judge(name, call(name, ...args));
  } catch (error) {
    return failed(`${name}: ${String(error).slice(0, 120)}`);
  }
}

export function judge(what: string, result: SyscallResult): Attempt {
  if ("value" in result) return open(`${what} = ${result.value}`);
  if (result.error === "not on this architecture") return untried(`${what}: ${result.error}`);
  return REFUSALS.has(result.error)
    ? blocked(`${what}: ${result.error}`)
    : open(`${what} was let through (${result.error})`);
}
