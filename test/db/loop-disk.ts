import { dlopen, ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeFolder } from "../harness/remove-folder.ts";

/** A small disk of its own, which can be filled, and whose power can be cut. Only root may mount it. */
export interface LoopDisk {
  /** Where it is mounted. */
  at: string;
  /** The disk as it would be found after a power failure now: without what only memory has. */
  afterPowerFailure(): Promise<LoopDisk>;
  /** From now on, whatever is written fails with EIO, as on a disk that dies. */
  die(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export const canMount = process.getuid?.() === 0 && (await mountWorks());

/** @param megabytes of an ext4. */
export async function makeLoopDisk(megabytes: number): Promise<LoopDisk> {
  const folder = await mkdtemp(join(tmpdir(), "pb-loop-"));
  const image = join(folder, "disk.img");
  await Bun.$`truncate -s ${megabytes}M ${image} && mkfs.ext4 -q -F -m 0 ${image}`.quiet();
  return mounted(folder, image);
}

async function mounted(folder: string, image: string): Promise<LoopDisk> {
  const at = join(folder, "disk");
  await Bun.$`mkdir ${at} && mount -o loop ${image} ${at}`.quiet();
  return {
    at,
    async afterPowerFailure() {
      const other = await mkdtemp(join(tmpdir(), "pb-loop-"));
      const copy = join(other, "disk.img");
      await Bun.$`cp --sparse=always ${image} ${copy}`.quiet();
      return mounted(other, copy);
    },
    die: () => shutDown(at),
    [Symbol.asyncDispose]: () => removeFolder(folder),
  };
}

/** ext4's ioctl for tests of its own: EXT4_IOC_SHUTDOWN, without flushing its log. */
function shutDown(at: string): void {
  const fd = openSync(at, "r");
  const { symbols, close } = dlopen("libc.so.6", {
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  });
  try {
    if (symbols.ioctl(fd, 0x8004587d, ptr(Uint32Array.of(2))) !== 0)
      throw new Error(`the disk at ${at} could not be shut down`);
  } finally {
    close();
    closeSync(fd);
  }
}

async function mountWorks(): Promise<boolean> {
  try {
    await using _ = await makeLoopDisk(8);
    return true;
  } catch {
    return false;
  }
}
