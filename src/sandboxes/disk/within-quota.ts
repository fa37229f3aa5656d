import { inMiB } from "../../shared/units.ts";
import { RepositoryError } from "../git/git-errors.ts";
import type { DiskQuotas, DiskSpace } from "./quotas.ts";

/**
 * Works in a sandbox while its disk space is watched: no phase of a run may take more than its limit.
 * @param work must end when its signal aborts.
 * @throws RepositoryError, not transient, when the limit was the reason; what `work` threw; what `signal` aborted with.
 */
export async function withinQuota<T>(
  options: { disk: DiskQuotas; space: DiskSpace; signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { disk, space, signal } = options;
  const full = new AbortController();
  const reached = (cause?: unknown) =>
    new RepositoryError(
      `The checkout and its work need more disk space than a sandbox may take: ${inMiB(disk.limit)} (RUN_DISK_MB).`,
      { cause },
    );
  const watch = disk.watch(space, () => full.abort(reached()));
  let result: T;
  try {
    result = await work(AbortSignal.any([signal, full.signal]));
  } catch (error) {
    signal.throwIfAborted();
    full.signal.throwIfAborted();
    if (await disk.explains(space, error).catch(() => false)) throw reached(error);
    throw error;
  } finally {
    watch.stop();
  }
  // It may have ended between two looks.
  if (!disk.enforced && (await disk.isFull(space).catch(() => false))) throw reached();
  return result;
}
