import { statfs } from "node:fs/promises";
import { RepositoryError } from "./git-errors.ts";

const INTERVAL_MS = 250;

/** How many bytes the service may still write on the disk of a folder. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/**
 * Works on a disk that others need, too: on what no sandbox's quota counts, such as our copies of repositories.
 * @param options.leave bytes that must stay free. @param work must end when its signal aborts.
 * @throws RepositoryError, transient, when less was free; what `work` threw; what `signal` aborted with.
 */
export async function whileDiskLasts<T>(
  options: { folder: string; leave: number; signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { folder, leave, signal } = options;
  const full = new AbortController();
  const look = async () => {
    if ((await freeBytesOf(folder)) >= leave) return;
    const text = "The disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).";
    full.abort(new RepositoryError(text, undefined, "machine"));
  };
  await look();
  // A disk that cannot be asked is reported by what writes to it.
  const timer = setInterval(() => void look().catch(() => undefined), INTERVAL_MS);
  try {
    return await work(AbortSignal.any([signal, full.signal]));
  } finally {
    clearInterval(timer);
  }
}
