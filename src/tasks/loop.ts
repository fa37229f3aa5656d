import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";

/** The maximum of the backoff after failures, unless the interval is longer. */
const MAX_WAIT_MS = 30_000;

/** A running task. `stop` ends it gracefully: it takes no new work, and resolves once nothing runs. */
export interface RunningTask {
  stop(): Promise<void>;
}

export interface Loop extends RunningTask {
  /** Runs `work` now, or once more if it is running. During a backoff it has no effect. */
  wake(): void;
}

/**
 * Calls `work` at once, then when woken and at least every `intervalMs`, never concurrently. Failures are logged and
 * retried with a backoff.
 * @param options.waitsFirst it calls `work` for the first time after `intervalMs`, unless it is woken before.
 * @param options.work does all work that is due now.
 * @param options.restMs asked when there is nothing more to do: for how many milliseconds nothing will be due, unless the
 *   loop is woken. It then waits that long, if that is longer than `intervalMs`.
 */
export function startLoop(options: {
  name: string;
  intervalMs: number;
  logger: Logger;
  work: () => Promise<unknown>;
  waitsFirst?: boolean;
  restMs?: (() => Promise<number>) | undefined;
}): Loop {
  const { name, intervalMs, logger, work, waitsFirst = false, restMs } = options;
  let stopped = false;
  let woken = true;
  let wakeUp: () => void = () => undefined;
  let failures = 0;

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        if (failures > 0 && !stopped) return;
        clearTimeout(timer);
        resolve();
      };
      if (stopped) wakeUp();
    });
  const run = async () => {
    if (waitsFirst) await pause(intervalMs);
    while (!stopped) {
      woken = false;
      let rest = 0;
      try {
        await work();
        if (!woken && !stopped) rest = (await restMs?.()) ?? 0;
        failures = 0;
      } catch (error) {
        failures += 1;
        logger.warn("task failed, will retry", { task: name, failures, error: messageOf(error) });
      }
      if (woken || stopped) {
        // Woken meanwhile: run again at once, unless the last run failed.
        if (failures === 0) continue;
      }
      const backoffMs = Math.min(intervalMs * 2 ** Math.min(failures, 4), Math.max(intervalMs, MAX_WAIT_MS));
      await pause(Math.max(rest, backoffMs));
    }
  };
  const done = run();

  return {
    wake() {
      woken = true;
      wakeUp();
    },
    async stop() {
      stopped = true;
      wakeUp();
      await done;
    },
  };
}
