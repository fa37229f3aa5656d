import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";

/** What has been opened, to be closed in reverse: each step with its own deadline, named when it overruns. */
export interface ReleaseStack {
  /** @param deadlineMs how long the step may take before the next one begins all the same. Default 5 s. */
  add(name: string, close: () => Promise<unknown>, deadlineMs?: number): void;
  /** Closes all, once. Never rejects: one step's failure must not keep the others from closing. */
  release(): Promise<void>;
}

export function createReleaseStack(logger: Logger): ReleaseStack {
  const steps: { name: string; close: () => Promise<unknown>; deadlineMs: number }[] = [];
  let released: Promise<void> | undefined;

  const releaseAll = async () => {
    for (let step = steps.pop(); step; step = steps.pop()) {
      const { name, close, deadlineMs } = step;
      const late = Promise.withResolvers<"late">();
      const timer = setTimeout(() => late.resolve("late"), deadlineMs);
      try {
        const outcome = await Promise.race([close(), late.promise]);
        if (outcome === "late")
          logger.warn("a part did not close in time", { part: name, deadline_ms: deadlineMs });
      } catch (error) {
        logger.warn("a part closed with an error", { part: name, error: messageOf(error) });
      } finally {
        clearTimeout(timer);
      }
    }
  };

  return {
    add: (name, close, deadlineMs = 5_000) => void steps.push({ name, close, deadlineMs }),
    release() {
      released ??= releaseAll();
      return released;
    },
  };
}
