import { textEvent } from "../agents/events.ts";
import type { Logger } from "../observability/logger.ts";
import { NotIsolated } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";
import type { RunWriter } from "./writer.ts";

/** Between two tries, milliseconds. What is missing is for the operator to mend. */
const PAUSE_MS = 15_000;

/**
 * Repeats `work` while this machine cannot isolate programs. The run keeps its lease meanwhile: a postponed prompt starts
 * over, and what its agent has done would be lost. The user is told once.
 * @param options.life ends the wait. @param options.cancelled ends it, too, after one last try.
 * @throws what `work` throws otherwise; what `life` aborted with.
 */
export async function untilIsolated<T>(
  work: () => Promise<T>,
  options: { writer: RunWriter; logger: Logger; life: AbortSignal; cancelled?: AbortSignal },
): Promise<T> {
  const { writer, logger, life, cancelled } = options;
  for (let told = false; ; told = true) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NotIsolated) || cancelled?.aborted) throw error;
      if (!told) {
        logger.warn("a run waits, with its agent's work", { error: messageOf(error) });
        await writer.append([textEvent(`Waiting: ${error.message}.`)]);
      }
      const signal = cancelled ? AbortSignal.any([life, cancelled]) : life;
      await sleep(PAUSE_MS, signal).catch(() => life.throwIfAborted());
    }
  }
}
