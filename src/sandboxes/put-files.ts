import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "./machine.ts";
import { removeTree } from "./remove-tree.ts";

/** A file to be put into a sandbox. Its name is one of the service's, without a folder. */
export interface GivenFile {
  name: string;
  bytes: Uint8Array;
}

/** Below the home of a sandbox, or beside its checkout. */
export const FILES_FOLDER = "attachments";

/**
 * Writes files into a new folder of the sandbox's home, which git does not see. Call it while no program of the sandbox
 * runs: one that was there before may have made anything of the folder, a link to elsewhere too.
 */
export async function putFiles(machine: Machine, id: string, files: readonly GivenFile[]): Promise<void> {
  const folder = join(machine.pathsOf(id).home, FILES_FOLDER);
  await removeTree(folder);
  await mkdir(folder, { mode: 0o700 });
  for (const { name, bytes } of files) {
    const handle = await open(join(folder, name), "wx", 0o600);
    try {
      await handle.writeFile(bytes);
    } finally {
      await handle.close();
    }
  }
  await machine.handOver(id, folder);
}
