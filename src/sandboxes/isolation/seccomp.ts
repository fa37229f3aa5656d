import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { assemble, type Line } from "./bpf.ts";
import { ARCHITECTURES, type Architecture, EXAMINED, REFUSED } from "./syscalls.ts";

const RETURN = { allow: 0x7fff0000, kill: 0x80000000, error: 0x00050000 };
const ERRNO = { EPERM: 1, ENOSYS: 38 };
/** Offsets in struct seccomp_data. */
const NUMBER = 0;
const ARCH = 4;
/** The lower half of an argument: of all that are examined the kernel, too, reads only these 32 bits. */
const argument = (index: number) => 16 + index * 8;

/** Numbers from here on are calls of x32, an ABI of its own under the same architecture. */
const X32 = 0x40000000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. CLONE_NEWTIME is not a flag of clone. */
const CLONE_NEW = 0x7e020000;
const FAMILY = { unix: 1, inet: 2, inet6: 10, netlink: 16 };
const NETLINK_ROUTE = 0;
/** They type into the terminal that the service was started from. */
const TERMINAL_INPUT = { TIOCSTI: 0x5412, TIOCLINUX: 0x541c };
/** With them the owner of a file takes it out of the project whose quota it counts with; see ../disk/project-quota.ts. */
const FILE_PROJECT = {
  FS_IOC_SETFLAGS: 0x40086602,
  FS_IOC32_SETFLAGS: 0x40046602,
  FS_IOC_FSSETXATTR: 0x401c5820,
};
const QUERY_PERSONALITY = 0xffffffff;

/** Whether there is a filter for this machine. */
export const hasFilter = (arch: string): arch is Architecture => Object.hasOwn(ARCHITECTURES, arch);

/**
 * Writes the filter to a file that no sandbox sees. Programs on x64 that are built for x86 are killed: their calls have
 * other numbers.
 * @returns its path.
 */
export async function writeFilter(dataDir: string, arch: Architecture): Promise<string> {
  const folder = join(dataDir, "seccomp");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, arch);
  const draft = `${file}.${crypto.randomUUID()}`;
  await writeFile(draft, assemble(filterLines(arch)), { mode: 0o600 });
  // Another service process on this DATA_DIR may be reading it.
  await rename(draft, file);
  return file;
}

function filterLines(arch: Architecture): Line[] {
  const refused = Object.values(REFUSED).map(([x64, arm64]) => (arch === "x64" ? x64 : arm64));
  const { clone, clone3, socket, ioctl, personality } = EXAMINED;
  return [
    { load: ARCH },
    { ifEqual: ARCHITECTURES[arch], no: "kill" },
    { load: NUMBER },
    ...(arch === "x64" ? [{ ifAtLeast: X32, yes: "ENOSYS" }] : []),
    ...refused.filter((one) => one !== undefined).map((one) => ({ ifEqual: one, yes: "EPERM" })),
    // Its flags are in memory, which a filter cannot read. libc falls back to clone.
    { ifEqual: clone3[arch], yes: "ENOSYS" },
    { ifEqual: clone[arch], yes: "clone" },
    { ifEqual: socket[arch], yes: "socket" },
    { ifEqual: ioctl[arch], yes: "ioctl" },
    { ifEqual: personality[arch], yes: "personality", no: "allow" },

    { label: "clone" },
    { load: argument(0) },
    { and: CLONE_NEW },
    { ifEqual: 0, yes: "allow", no: "EPERM" },

    { label: "socket" },
    { load: argument(0) },
    { ifEqual: FAMILY.unix, yes: "allow" },
    { ifEqual: FAMILY.inet, yes: "allow" },
    { ifEqual: FAMILY.inet6, yes: "allow" },
    { ifEqual: FAMILY.netlink, no: "EPERM" },
    // getifaddrs needs it.
    { load: argument(2) },
    { ifEqual: NETLINK_ROUTE, yes: "allow", no: "EPERM" },

    { label: "ioctl" },
    { load: argument(1) },
    ...Object.values(FILE_PROJECT).map((one) => ({ ifEqual: one, yes: "EPERM" }) as const),
    { ifEqual: TERMINAL_INPUT.TIOCSTI, yes: "EPERM" },
    { ifEqual: TERMINAL_INPUT.TIOCLINUX, yes: "EPERM", no: "allow" },

    { label: "personality" },
    { load: argument(0) },
    { ifEqual: 0, yes: "allow" },
    { ifEqual: QUERY_PERSONALITY, yes: "allow", no: "EPERM" },

    { label: "allow" },
    { return: RETURN.allow },
    { label: "EPERM" },
    { return: RETURN.error + ERRNO.EPERM },
    { label: "ENOSYS" },
    { return: RETURN.error + ERRNO.ENOSYS },
    { label: "kill" },
    { return: RETURN.kill },
  ];
}
