import type { AgentReader, AgentVerdict } from "../agents/agent.ts";
import type { RunLimits } from "../config/config.ts";
import { LeaseLost } from "../lifecycle/fence.ts";
import type { SandboxProcess, SandboxProvider } from "../sandboxes/sandbox.ts";
import { ingest } from "./ingest.ts";
import { type Limit, watchLimits } from "./limits.ts";
import type { RunWriter } from "./writer.ts";

/** Between SIGTERM and SIGKILL, milliseconds. */
export const STOP_GRACE_MS = 5_000;

export interface WatchResult {
  verdict: AgentVerdict;
  /** What ended it early. */
  limit?: Limit | undefined;
  /** The agent ended without an exit code: it was killed with its supervisor, or the machine was restarted. */
  lost: boolean;
}

/**
 * Reads what an agent prints and stores it, until the agent and all that it started have ended; ends it at its limits
 * or when its user cancels.
 * @param options.stored bytes of its output whose events are stored already.
 * @throws what `life` aborted with: then the agent goes on, unwatched.
 */
export async function watchAgent(options: {
  writer: RunWriter;
  process: SandboxProcess;
  reader: AgentReader;
  stored: number;
  limits: RunLimits;
  sandboxes: Pick<SandboxProvider, "freeBytes">;
  life: AbortSignal;
  cancelled: AbortSignal;
}): Promise<WatchResult> {
  const { writer, process, reader, stored, limits, sandboxes, life, cancelled } = options;
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
  life.addEventListener("abort", process.detach, { once: true });
  cancelled.addEventListener("abort", stop, { once: true });
  if (life.aborted) process.detach();
  if (cancelled.aborted) stop();
  try {
    await ingest({ lines: process.lines(0), reader, stored, write: writer.append });
    life.throwIfAborted();
    const exit = await process.exit;
    // Its work was done before it was made to end.
    const verdict = reader.conclude(limit?.name === "result" ? { ...exit, code: 0, signal: null } : exit);
    return { verdict, limit, lost: exit.lost };
  } catch (error) {
    life.throwIfAborted();
    // Fenced off: the agent belongs to the new runner. Where storing failed for good, it is ended.
    if (!(error instanceof LeaseLost)) await process.stop(STOP_GRACE_MS);
    throw error;
  } finally {
    watch.stop();
    life.removeEventListener("abort", process.detach);
    cancelled.removeEventListener("abort", stop);
  }
}
