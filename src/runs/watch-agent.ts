import type { AgentReader, AgentVerdict } from "../agents/agent.ts";
import type { RunLimits } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { persistently } from "../db/retry-while-unavailable.ts";
import type { SandboxProcess, SandboxProvider } from "../sandboxes/sandbox.ts";
import { ingest } from "./ingest.ts";
import { type Limit, watchLimits } from "./limits.ts";
import { type ClaimedRun, LeaseLost } from "./run.ts";
import { appendMessages } from "./store.ts";

/** A program that is asked to end has so long, milliseconds; then it is ended. */
export const STOP_GRACE_MS = 5_000;

/** How a run went on: its verdict, and what ended it early. */
export interface Supervised {
  verdict: AgentVerdict;
  limit?: Limit | undefined;
  /** The agent ended without a word: killed with its keeper, or the machine was restarted. */
  lost: boolean;
}

/**
 * Reads what an agent prints and stores it, until the agent and all that it started have ended; ends it at its limits
 * or when its user cancels.
 * @param options.stored bytes of its output whose events are stored already.
 * @throws what `life` aborted with: then the agent is left alone, as it is.
 */
export async function supervise(options: {
  orm: Orm;
  run: ClaimedRun;
  process: SandboxProcess;
  reader: AgentReader;
  stored: number;
  limits: RunLimits;
  sandboxes: Pick<SandboxProvider, "freeBytes">;
  life: AbortSignal;
  cancelled: AbortSignal;
}): Promise<Supervised> {
  const { orm, run, process, reader, stored, limits, sandboxes, life, cancelled } = options;
  const stop = () => void process.stop(STOP_GRACE_MS).catch(() => undefined);
  let limit: Limit | undefined;
  const watch = watchLimits({
    limits,
    process,
    sandboxes,
    hasResult: reader.hasResult,
    onLimit(hit) {
      limit = hit;
      stop();
    },
  });
  life.addEventListener("abort", process.letGo, { once: true });
  cancelled.addEventListener("abort", stop, { once: true });
  if (life.aborted) process.letGo();
  if (cancelled.aborted) stop();
  try {
    await ingest({
      lines: process.lines(0),
      reader,
      stored,
      write: (events, progress) => persistently(life, () => appendMessages(orm, run, events, progress)),
    });
    life.throwIfAborted();
    const exit = await process.exit;
    // It had done its work before it was made to end.
    const verdict = reader.conclude(limit?.name === "result" ? { ...exit, code: 0, signal: null } : exit);
    return { verdict, limit, lost: exit.lost };
  } catch (error) {
    life.throwIfAborted();
    // Fenced off: the agent is the new runner's now. When storing failed for good, what was started is ended.
    if (!(error instanceof LeaseLost)) await process.stop(STOP_GRACE_MS);
    throw error;
  } finally {
    watch.stop();
    life.removeEventListener("abort", process.letGo);
    cancelled.removeEventListener("abort", stop);
  }
}
