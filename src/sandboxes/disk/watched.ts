import { statfs } from "node:fs/promises";
import type { Logger } from "../../observability/logger.ts";
import { messageOf } from "../../shared/errors.ts";
import { createTreeMeter } from "./measure.ts";
import type { DiskQuotas, DiskSpace, DiskUsage, QuotaMethod } from "./quotas.ts";

/** How often a sandbox is looked at, milliseconds. */
const TICK_MS = 250;
/** A tree is walked at least this often, and at most a twentieth of the time, milliseconds. */
const WALK_EVERY_MS = 2_000;
const WALK_SHARE = 20;
/**
 * Each walk takes two programs. The trees of many sandboxes are walked less often, so that all of them together do not take the
 * processors from the agents: a sandbox more, and each waits this much longer, up to the most, milliseconds.
 */
const WALK_EVERY_PER_SANDBOX_MS = 100;
const WALK_EVERY_MOST_MS = 5_000;
/** Who has less than this left cannot go on: a larger write has failed. */
const SLACK_BYTES = 256 * 1024;
/** With so much free space, nobody is refused any but by the sandbox's own limit. */
const PLENTY_BYTES = 64 * 1024 * 1024;
const NO_SPACE = /no space left on device|disk quota exceeded|ENOSPC|EDQUOT/i;

/** The last walk over a sandbox's folders. */
interface Walk extends DiskUsage {
  at: number;
  tookMs: number;
  /** What was free on the disk just before it. */
  free: DiskUsage;
}

/**
 * Tells how much of the disk a sandbox uses. A tree that cannot be walked over in time is taken to be full. What the kernel
 * counts is asked for each time. The rest must be walked over, which costs more the more files there are: only when so much
 * of the disk was used since the last walk that the sandbox could have reached its limit, and every few seconds, because
 * others may have freed as much as it has used.
 */
export function watchedSpaces(options: {
  method: QuotaMethod;
  root: string;
  path: string;
  limits: DiskUsage;
  logger: Logger;
  walkTimeoutMs?: number;
}): Pick<DiskQuotas, "used" | "isFull" | "explains" | "watch"> {
  const { method, root, path, limits, logger } = options;
  const measure = createTreeMeter({ path, timeoutMs: options.walkTimeoutMs });
  /** Sandboxes that are watched. */
  let watched = 0;

  const freeNow = async (): Promise<DiskUsage> => {
    const { bavail, bsize, ffree } = await statfs(root);
    return { bytes: bavail * bsize, files: ffree };
  };
  const walk = async (space: DiskSpace, signal?: AbortSignal): Promise<Walk> => {
    const free = await freeNow();
    const began = performance.now();
    const usage = await measure(method.walked(space), signal);
    const at = performance.now();
    return { ...usage, free, at, tookMs: at - began };
  };
  const reached = (one: DiskUsage, other: DiskUsage) =>
    one.bytes + other.bytes > limits.bytes - SLACK_BYTES || one.files + other.files >= limits.files;
  const walkEveryMs = () =>
    Math.min(Math.max(WALK_EVERY_MS, watched * WALK_EVERY_PER_SANDBOX_MS), WALK_EVERY_MOST_MS);
  const isDue = (last: Walk, counted: DiskUsage, free: DiskUsage) =>
    performance.now() - last.at > Math.max(walkEveryMs(), WALK_SHARE * last.tookMs) ||
    last.free.bytes - free.bytes > limits.bytes - counted.bytes - last.bytes - SLACK_BYTES ||
    last.free.files - free.files > limits.files - counted.files - last.files;

  const isFull = async (space: DiskSpace) => reached(await method.counted(space), await walk(space));

  return {
    isFull,
    async explains(space, error) {
      if (await isFull(space)) return true;
      // Who was refused may have tidied up since. The machine's own disk is not full.
      return method.enforced && NO_SPACE.test(messageOf(error)) && (await freeNow()).bytes > PLENTY_BYTES;
    },
    async used(space) {
      const [counted, walked] = await Promise.all([method.counted(space), walk(space)]);
      return counted.bytes + walked.bytes;
    },
    watch(space, onFull) {
      const stopped = new AbortController();
      let last: Walk | undefined;
      let busy = false;
      let failed = false;
      const onFailure = (error: unknown) => {
        if (!failed && !stopped.signal.aborted)
          logger.warn("the disk space of a sandbox is not limited (RUN_DISK_MB): it could not be measured", {
            sandbox: space.id,
            error: messageOf(error),
          });
        failed = true;
      };
      const check = async () => {
        const [counted, free] = await Promise.all([method.counted(space), freeNow()]);
        if (!last || isDue(last, counted, free)) last = await walk(space, stopped.signal);
        if (!stopped.signal.aborted && reached(counted, last)) {
          stop();
          onFull();
        }
      };
      const timer = setInterval(() => {
        if (busy) return;
        busy = true;
        // A failed reading is repeated at the next tick.
        check()
          .catch(onFailure)
          .finally(() => {
            busy = false;
          });
      }, TICK_MS);
      watched += 1;
      const stop = () => {
        if (!stopped.signal.aborted) watched -= 1;
        clearInterval(timer);
        stopped.abort(new Error("no longer watched"));
      };
      return { stop };
    },
  };
}
