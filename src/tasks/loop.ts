import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";

/** After failures it backs off up to this; a longer interval stays as it is. */
const MAX_WAIT_MS = 30_000;

/** A running task. `stop` takes no new work, ends what runs in the task's own way, and resolves once nothing runs. */
export interface RunningTask {
  stop(): Promise<void>;
}

/** Repeats `work` when woken, and at least every `intervalMs`; never twice at once. A failure is logged and retried. */
export interface Loop extends RunningTask {
  wake(): void;
}

/**
 * @param options.work does all there is to do now. It is called at once.
 */
export function startLoop(options: {
  name: string;
  intervalMs: number;
  logger: Logger;
  work: () => Promise<unknown>;
}): Loop {
  const { name, intervalMs, logger, work } = options;
  let stopped = false;
  let woken = true;
  let wakeUp: () => void = () => undefined;
  let failures = 0;

  const run = async () => {
    while (!stopped) {
      woken = false;
      try {
        await work();
        failures = 0;
      } catch (error) {
        failures += 1;
        logger.warn("task failed, will retry", { task: name, failures, error: messageOf(error) });
      }
      if (woken || stopped) {
        // Woken meanwhile: once more, but never in a tight loop of failures.
        if (failures === 0) continue;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(
          resolve,
          Math.min(intervalMs * 2 ** Math.min(failures, 4), Math.max(intervalMs, MAX_WAIT_MS)),
        );
        wakeUp = () => {
          if (failures > 0 && !stopped) return;
          clearTimeout(timer);
          resolve();
        };
        if (stopped) wakeUp();
      });
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
