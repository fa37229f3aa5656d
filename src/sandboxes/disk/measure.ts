import type { DiskUsage } from "./quotas.ts";

/** A tree that takes longer has more files than anybody can watch. */
const TIMEOUT_MS = 120_000;

/**
 * Counts what is in folders; infinitely much if that takes too long.
 * @throws if it cannot be counted; what `signal` aborted with.
 */
export type TreeMeter = (folders: readonly string[], signal?: AbortSignal) => Promise<DiskUsage>;

/**
 * Measures with `du`, a program of its own that can be ended at any time, at the lowest priority. It counts blocks, so that
 * sparse files and links cost what they cost.
 *
 * Where the service is an ordinary user, an agent has the same user on the disk and could lock it out of a folder (chmod 000).
 * `unshare` makes the measuring program root in a user namespace, where it may read that user's folders whatever their mode.
 */
export function createTreeMeter(options: { path: string; timeoutMs?: number | undefined }): TreeMeter {
  const { path, timeoutMs = TIMEOUT_MS } = options;
  const ordinary = process.getuid?.() !== 0;
  /** What this machine has of both. */
  let prefix: Promise<string[]> | undefined;
  const has = (name: string) => Bun.which(name, { PATH: path }) !== null;
  const choosePrefix = async () => {
    const nice = has("nice") ? ["nice", "-n", "19"] : [];
    if (!ordinary || !has("unshare")) return nice;
    const works = (await run(["unshare", "--map-root-user", "true"], { path, timeoutMs })).code === 0;
    return works ? ["unshare", "--map-root-user", ...nice] : nice;
  };

  return async (folders, signal) => {
    if (folders.length === 0) return { bytes: 0, files: 0 };
    if (!has("du")) throw new Error("du is not installed");
    prefix ??= choosePrefix().catch((error: unknown) => {
      prefix = undefined;
      throw error;
    });
    const du = [...(await prefix), "du"];
    const [blocks, inodes] = await Promise.all([
      run([...du, "-skxc", "--", ...folders], { path, timeoutMs, signal }),
      run([...du, "-sxc", "--inodes", "--", ...folders], { path, timeoutMs, signal }),
    ]);
    signal?.throwIfAborted();
    if (blocks.late || inodes.late)
      return { bytes: Number.POSITIVE_INFINITY, files: Number.POSITIVE_INFINITY };
    const kib = totalOf(blocks.out);
    if (kib === undefined) throw new Error("the size of a sandbox could not be measured");
    // Not every du counts files.
    return { bytes: kib * 1024, files: totalOf(inodes.out) ?? 0 };
  };
}

/** Files that are removed meanwhile are no error: the total is printed all the same. */
function totalOf(out: string): number | undefined {
  const total = /^(\d+)\ttotal$/m.exec(out)?.[1];
  return total === undefined ? undefined : Number(total);
}

async function run(
  argv: readonly string[],
  options: { path: string; timeoutMs: number; signal?: AbortSignal | undefined },
) {
  const { path, timeoutMs, signal } = options;
  const began = performance.now();
  const child = Bun.spawn([...argv], {
    env: { PATH: path, LC_ALL: "C" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    ...(signal && { signal }),
  });
  const [out, code] = await Promise.all([child.stdout.text(), child.exited]);
  return { out, code, late: code !== 0 && performance.now() - began >= timeoutMs };
}
