import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";

/** The parts that have been opened, to be closed in reverse order, each within its own deadline. */
export interface ReleaseStack {
  /** @param deadlineMs how long the part may take before the next one is closed all the same. Default 5 s. */
  add(part: string, close: () => Promise<unknown>, deadlineMs?: number): void;
  /** Closes all parts, once. Never rejects: a part that fails, which is logged, must not keep the others open. */
  release(): Promise<void>;
}

export function createReleaseStack(logger: Logger): ReleaseStack {
  const parts: { part: string; close: () => Promise<unknown>; deadlineMs: number }[] = [];
  let released: Promise<void> | undefined;

  const releaseAll = async () => {
    for (let next = parts.pop(); next; next = parts.pop()) {
      const { part, close, deadlineMs } = next;
      try {
        await withTimeout(deadlineMs, close(), `not closed within ${deadlineMs} ms`);
      } catch (error) {
        logger.warn("a part did not close cleanly", { part, error: messageOf(error) });
      }
    }
  };

  return {
    add: (part, close, deadlineMs = 5_000) => void parts.push({ part, close, deadlineMs }),
    release() {
      released ??= releaseAll();
      return released;
    },
  };
}
