import { readFile, rm } from "node:fs/promises";
import { sep } from "node:path";

/** Removes a DATA_DIR, or a folder with one, in which a killed service may have left mounted sandboxes. */
export async function removeFolder(folder: string): Promise<void> {
  for (const mount of await mountsBelow(folder)) await Bun.$`umount -l ${mount}`.quiet().nothrow();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** The last one mounted first. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines
    .flatMap((line) => line.split(" ")[4] ?? [])
    .filter((at) => at.startsWith(folder + sep))
    .reverse();
}
