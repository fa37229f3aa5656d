import { join } from "node:path";
import { lockDataDir } from "../src/db/data-dir-lock.ts";

const CACHE = join(import.meta.dir, "../.cache");

/**
 * Does work that processes would do side by side: one at a time, the others wait. The kernel gives the lock back if a process
 * is killed.
 * @param name of the lock, a folder in .cache that is locked as a DATA_DIR is.
 */
export async function oneAtATime<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  const giveBack = await takeLock(join(CACHE, name));
  try {
    return await work();
  } finally {
    giveBack();
  }
}

async function takeLock(folder: string): Promise<() => void> {
  for (;;) {
    try {
      return lockDataDir(folder);
    } catch (error) {
      if ((error as { cause?: { code?: string } }).cause?.code !== "SQLITE_BUSY") throw error;
    }
    await Bun.sleep(100);
  }
}
