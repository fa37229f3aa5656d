import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Writes the filter to a file that no sandbox sees. @returns its path. */
export async function writeFilter(dataDir: string): Promise<string> {
  const folder = join(dataDir, "seccomp");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, "filter");
  const draft = `${file}.${crypto.randomUUID()}`;
  await writeFile(draft, filter());
  await chmod(draft, 0o600);
  // Another service process on this DATA_DIR may be reading it.
  await rename(draft, file);
  return file;
}

/** BPF_RET, SECCOMP_RET_ALLOW. */
function filter(): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(0x06, 0);
  bytes.writeUInt32LE(0x7fff0000, 4);
  return bytes;
}
