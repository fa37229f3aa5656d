import { closeSync, fsyncSync, openSync } from "node:fs";

/** Flushes a file, or the names in a folder, to the disk. Blocks. Some file systems cannot flush a folder: that is no error. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
  } finally {
    closeSync(descriptor);
  }
}
