import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeFilter } from "../../../src/sandboxes/isolation/seccomp.ts";
import { interpret } from "./bpf.ts";

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;

/** From the kernel's tables (asm/unistd_64.h, asm-generic/unistd.h), not from the filter's. */
const MACHINES = {
  x64: {
    arch: 0xc000003e,
    numbers: {
      read: 0,
      clone: 56,
      clone3: 435,
      socket: 41,
      ioctl: 16,
      personality: 135,
      execve: 59,
      ptrace: 101,
    },
    // keyctl, add_key, request_key, userfaultfd, bpf, perf_event_open, kexec_load, kexec_file_load, init_module,
    // finit_module, delete_module, unshare, setns, mount, umount2, pivot_root, syslog, open_by_handle_at
    refused: [250, 248, 249, 323, 321, 298, 246, 320, 175, 313, 176, 272, 308, 165, 166, 155, 103, 304],
    // setresuid, setresgid, setgroups, prctl, capset: setpriv; seccomp, mmap, futex
    allowed: [117, 119, 116, 157, 126, 317, 9, 202],
  },
  arm64: {
    arch: 0xc00000b7,
    numbers: {
      read: 63,
      clone: 220,
      clone3: 435,
      socket: 198,
      ioctl: 29,
      personality: 92,
      execve: 221,
      ptrace: 117,
    },
    refused: [219, 217, 218, 282, 280, 241, 104, 294, 105, 273, 106, 97, 268, 40, 39, 41, 116, 265],
    allowed: [147, 149, 159, 167, 91, 277, 222, 98],
  },
} as const;
/** The same numbers everywhere: io_uring, the new mount calls, file_setattr. */
const REFUSED_EVERYWHERE = [425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 469];

describe.each(Object.entries(MACHINES))(
  "the seccomp filter of %s",
  (name, { arch, numbers, refused, allowed }) => {
    let folder: string;
    let program: Uint8Array;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "pb-seccomp-"));
      program = await readFile(await writeFilter(folder, name as keyof typeof MACHINES));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));
    const result = (nr: number, ...args: (number | bigint)[]) =>
      interpret(program, { arch, nr, args: args.map((one) => BigInt(one)) });

    test("refuses dangerous calls, and leaves the others alone", () => {
      for (const nr of [...refused, ...REFUSED_EVERYWHERE]) expect([nr, result(nr)]).toEqual([nr, EPERM]);
      for (const nr of [...allowed, numbers.read, numbers.execve, numbers.ptrace, 9999])
        expect([nr, result(nr)]).toEqual([nr, ALLOW]);
    });

    test("other architectures are killed, and x32 does not exist", () => {
      for (const other of [0x40000003, 0xc00000b7, 0xc000003e, 0x40000028, 0].filter((one) => one !== arch))
        expect(interpret(program, { arch: other, nr: numbers.read })).toBe(KILL);
      // On arm64 these numbers mean nothing, and the kernel says so itself.
      const x32 = name === "x64" ? ENOSYS : ALLOW;
      for (const nr of [0x40000000, 0x40000000 + 425, 0xffffffff]) expect(result(nr)).toBe(x32);
    });

    test("clone makes threads and processes, but no namespace; clone3 makes libc fall back to it", () => {
      expect(result(numbers.clone3)).toBe(ENOSYS);
      expect(result(numbers.clone, 17)).toBe(ALLOW);
      // What pthread_create asks for.
      expect(result(numbers.clone, 0x3d0f00)).toBe(ALLOW);
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
        expect(result(numbers.clone, 0x3d0f00 + flag)).toBe(EPERM);
    });

    test("sockets: Unix, IPv4, IPv6, and netlink for routes alone", () => {
      for (const family of [1, 2, 10]) expect(result(numbers.socket, family, 1, 0)).toBe(ALLOW);
      expect(result(numbers.socket, 16, 3, 0)).toBe(ALLOW);
      // vsock, packet, alg, key, bluetooth, xdp, can, tipc
      for (const family of [40, 17, 38, 15, 31, 44, 29, 30])
        expect(result(numbers.socket, family, 1, 0)).toBe(EPERM);
      for (const protocol of [4, 9, 12, 15, 16]) expect(result(numbers.socket, 16, 3, protocol)).toBe(EPERM);
      // The kernel reads 32 bits of the family: the upper half must not hide it.
      expect(result(numbers.socket, (1n << 32n) + 40n, 1, 0)).toBe(EPERM);
    });

    test("nothing types into a terminal, also not with bits that the kernel ignores", () => {
      for (const request of [0x5412n, 0x541cn, (1n << 40n) + 0x5412n])
        expect(result(numbers.ioctl, 0, request)).toBe(EPERM);
      expect(result(numbers.ioctl, 0, 0x5413)).toBe(ALLOW);
    });

    // The owner of a file may move it to another project, and so out of its disk quota.
    test("no file leaves its project: neither by its flags nor by its project's number", () => {
      for (const request of [0x40086602, 0x40046602, 0x401c5820])
        expect(result(numbers.ioctl, 0, request)).toBe(EPERM);
    });

    test("personality can be asked for, and not be changed", () => {
      for (const value of [0, 0xffffffff]) expect(result(numbers.personality, value)).toBe(ALLOW);
      for (const value of [0x40000, 0x400000, 8]) expect(result(numbers.personality, value)).toBe(EPERM);
    });
  },
);
