import { ptr } from "bun:ffi";
import {
  closeSync,
  constants,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { type Attack, all, blocked, CANARY, failed, open, refused } from "./attack.ts";
import { namesIn, pids, unreadable, unseen, unwritable } from "./look.ts";
import { call, denied } from "./syscalls.ts";

export const PATH_ATTACKS: readonly Attack[] = [
  {
    id: "file-symlink-out",
    title: "read and write outside through symbolic links in the checkout",
    stoppedBy: "mount namespace",
    inside({ dataDir, secretFile }) {
      rmSync("out-file", { force: true });
      rmSync("out-folder", { force: true });
      symlinkSync(secretFile, "out-file");
      symlinkSync(dataDir, "out-folder");
      return all([unreadable("out-file"), unwritable("out-folder"), unreadable("out-folder/host-id")]);
    },
  },
  {
    id: "file-hard-link",
    title: "make hard links to files of the system in the checkout",
    stoppedBy: "other mounts, read-only",
    inside: () =>
      all(
        ["/usr/bin/env", "/etc/passwd", process.execPath].map((path, index) =>
          refused(path, () => {
            linkSync(path, `link-${index}`);
            return "linked";
          }),
        ),
      ),
  },
  {
    id: "file-by-handle",
    title: "open a file by its handle, as the 'shocker' exploit does",
    stoppedBy: "seccomp, no capabilities",
    inside() {
      // A handle of type 1 (ext4: inode and generation) of inode 2, the root of the file system.
      const handle = Buffer.alloc(24);
      handle.writeUInt32LE(8, 0);
      handle.writeInt32LE(1, 4);
      handle.writeUInt32LE(2, 8);
      const at = openSync(".", constants.O_RDONLY);
      try {
        return denied("open_by_handle_at", at, ptr(handle), 0);
      } finally {
        closeSync(at);
      }
    },
  },
  {
    id: "file-devices",
    title: "open disks, memory, the kernel's log, KVM, FUSE and TUN devices",
    stoppedBy: "own /dev",
    inside: () =>
      all(
        [
          ...[
            "mem",
            "kmem",
            "port",
            "kmsg",
            "sda",
            "vda",
            "nvme0n1",
            "dm-0",
            "loop0",
            "loop-control",
            "kvm",
            "fuse",
            "vsock",
          ],
          ...[
            "net/tun",
            "uinput",
            "vhost-net",
            "vhost-vsock",
            "mapper/control",
            "btrfs-control",
            "autofs",
            "userfaultfd",
          ],
        ].map((name) => unseen(`/dev/${name}`)),
      ),
  },
  {
    id: "file-make-device",
    title: "make a device node and open it",
    stoppedBy: "no capabilities, nodev",
    inside() {
      const path = Buffer.from("./node\0");
      // 0o060600: a block device, 8:0.
      return denied("mknodat", -100, ptr(path), 0o060600, 0x800);
    },
  },
  {
    id: "file-root-links",
    title: "find descriptors of host folders among those of the first process",
    stoppedBy: "descriptors from 3 up are closed",
    inside: ({ dataDir }) =>
      all([
        blocked("none"),
        ...pids().flatMap((pid) =>
          namesIn(`/proc/${pid}/fd`).map((fd) => {
            const to = linkOf(`/proc/${pid}/fd/${fd}`);
            return fd !== "0" && to.startsWith(dataDir)
              ? open(`descriptor ${fd} of ${pid} is ${to}`)
              : blocked("none");
          }),
        ),
      ]),
  },
  {
    id: "file-claude-md-link",
    title: "have the service read a file of the host as the repository's instructions",
    stoppedBy: "no link is followed, regular files only",
    inside({ secretFile }) {
      rmSync("CLAUDE.md", { force: true });
      symlinkSync(secretFile, "CLAUDE.md");
      return blocked("the link is made");
    },
    async outside({ sandbox }) {
      const { readInstructions } = await import("../agents/instructions.ts");
      const text = await readInstructions(sandbox.hostPaths.checkout);
      return text?.includes(CANARY)
        ? open("the service read the host's file")
        : blocked("no instructions were read");
    },
  },
  {
    id: "file-deep-path",
    title: "make a path so deep that the sandbox cannot be removed",
    stoppedBy: "removal descends step by step",
    inside() {
      const start = Buffer.from(`${process.cwd()}\0`);
      const name = Buffer.from(`${"a".repeat(40)}\0`);
      // Not by process.chdir, which wants to know where it is: the path is longer than the kernel tells.
      for (let depth = 0; depth < 600; depth++)
        for (const result of [call("mkdirat", -100, ptr(name), 0o700), call("chdir", ptr(name))])
          if ("error" in result) return failed(`${result.error} at depth ${depth}`);
      call("chdir", ptr(start));
      return blocked("600 folders, 24,000 bytes of path");
    },
    async outside({ provider, sandbox }) {
      await provider.release(sandbox.config);
      return lstatSafe(sandbox.hostPaths.checkout) ? open("the folder is still there") : blocked("removed");
    },
  },
];

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

const lstatSafe = (path: string) => lstatSync(path, { throwIfNoEntry: false });
