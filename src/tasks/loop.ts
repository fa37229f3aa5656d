import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";

/** After failures it waits longer each time, up to this; a longer interval stays as it is. */
const MAX_WAIT_MS = 30_000;

/** A task that runs. `stop` takes no new work, ends what runs (its own way) and resolves when all is quiet. */
export interface RunningTask {
  stop(): Promise<void>;
}

/** Repeats `work`: when woken, and at the latest every `intervalMs`; never twice at once. A failure is logged and tried again. */
export interface Loop extends RunningTask {
  wake(): void;
}

/**
 * @param options.work does all there is to do now. The first time is at once.
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
        logger.warn("task failed, will try again", { task: name, failures, error: messageOf(error) });
      }
      if (woken || stopped) {
        // Woken while it worked: once more, though never in a tight circle of failures.
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
