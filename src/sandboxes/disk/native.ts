import { dlopen, ptr } from "bun:ffi";
import { closeSync, constants, openSync } from "node:fs";

/**
 * The two system calls of project quotas, which neither Bun nor a program that is installed everywhere offers. All answer
 * undefined or false where the file system or the kernel cannot do it.
 */
export interface ProjectCalls {
  /** Whether the file system of this folder has project quotas and enforces them. */
  enforced(folder: string): boolean;
  projectOf(path: string): number | undefined;
  /** Puts a folder or file into a project; what is made in the folder later belongs to it, too. */
  setProject(path: string, project: number): boolean;
  /** 0: no limit. `folder` is any on the file system. */
  setLimits(folder: string, project: number, limits: { bytes: number; files: number }): boolean;
  usageOf(folder: string, project: number): { bytes: number; files: number } | undefined;
}

const IOCTL = { x64: 16, arm64: 29 } as const;
/** Linux 5.14; the same number everywhere. */
const QUOTACTL_FD = 443;
/** struct fsxattr: flags, extent size, extents, project, … */
const FSXATTR = { bytes: 28, project: 12, get: 0x801c581f, set: 0x401c5820, inherit: 0x200 } as const;
/** quotactl's commands for project quotas: QCMD(command, PRJQUOTA). */
const QUOTA = { get: 0x80000702, set: 0x80000802, state: 0x580802 } as const;
/** struct if_dqblk: block limits (KiB), space, inode limits, inodes, times, valid. */
const DQBLK = {
  bytes: 72,
  hard: 0,
  soft: 8,
  space: 16,
  filesHard: 24,
  filesSoft: 32,
  files: 40,
  valid: 64,
} as const;
const LIMITS_VALID = 1 | 4;
/** struct fs_quota_statv: version, flags, …; project quotas are enforced. */
const STATE = { bytes: 256, version: 1, flags: 2, enforced: 1 << 5 } as const;

/** Undefined where this machine has no such calls. */
export function openProjectCalls(): ProjectCalls | undefined {
  const ioctl = process.platform === "linux" ? IOCTL[process.arch as keyof typeof IOCTL] : undefined;
  const syscall = ioctl === undefined ? undefined : openSyscall();
  if (!syscall || ioctl === undefined) return undefined;

  /** On an open folder or regular file. Never follows a link, and never opens a device or a pipe to wait for it. */
  const onFile = <T>(path: string, work: (fd: number) => T): T | undefined => {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
    try {
      return work(fd);
    } finally {
      closeSync(fd);
    }
  };
  const attributesOf = (fd: number) => {
    const attributes = new DataView(new ArrayBuffer(FSXATTR.bytes));
    return syscall(ioctl, fd, FSXATTR.get, ptr(attributes)) === 0 ? attributes : undefined;
  };

  return {
    enforced: (folder) =>
      onFile(folder, (fd) => {
        const state = new DataView(new ArrayBuffer(STATE.bytes));
        state.setInt8(0, STATE.version);
        if (syscall(QUOTACTL_FD, fd, QUOTA.state, 0, ptr(state)) !== 0) return false;
        return (state.getUint16(STATE.flags, true) & STATE.enforced) !== 0;
      }) ?? false,
    projectOf: (path) => onFile(path, (fd) => attributesOf(fd)?.getUint32(FSXATTR.project, true)),
    setProject: (path, project) =>
      onFile(path, (fd) => {
        const attributes = attributesOf(fd);
        if (!attributes) return false;
        attributes.setUint32(0, attributes.getUint32(0, true) | FSXATTR.inherit, true);
        attributes.setUint32(FSXATTR.project, project, true);
        return syscall(ioctl, fd, FSXATTR.set, ptr(attributes)) === 0;
      }) ?? false,
    setLimits: (folder, project, { bytes, files }) =>
      onFile(folder, (fd) => {
        const quota = new DataView(new ArrayBuffer(DQBLK.bytes));
        for (const at of [DQBLK.hard, DQBLK.soft])
          quota.setBigUint64(at, BigInt(Math.ceil(bytes / 1024)), true);
        for (const at of [DQBLK.filesHard, DQBLK.filesSoft]) quota.setBigUint64(at, BigInt(files), true);
        quota.setUint32(DQBLK.valid, LIMITS_VALID, true);
        return syscall(QUOTACTL_FD, fd, QUOTA.set, project, ptr(quota)) === 0;
      }) ?? false,
    usageOf: (folder, project) =>
      onFile(folder, (fd) => {
        const quota = new DataView(new ArrayBuffer(DQBLK.bytes));
        if (syscall(QUOTACTL_FD, fd, QUOTA.get, project, ptr(quota)) !== 0) return undefined;
        return {
          bytes: Number(quota.getBigUint64(DQBLK.space, true)),
          files: Number(quota.getBigUint64(DQBLK.files, true)),
        };
      }),
  };
}

type Syscall = (number: number, a: number, b: number, c: number, d?: number) => number;

/** libc's syscall(), under the names of glibc and musl. */
function openSyscall(): Syscall | undefined {
  for (const name of ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"])
    try {
      const { symbols } = dlopen(name, {
        syscall: { args: ["i64", "i64", "i64", "i64", "i64"], returns: "i64" },
      });
      return (number, a, b, c, d = 0) => Number(symbols.syscall(number, a, b, c, d));
    } catch {
      // Another C library.
    }
  return undefined;
}
