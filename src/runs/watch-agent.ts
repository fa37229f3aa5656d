import type { AgentIdentity, AgentReader, AgentVerdict } from "../agents/agent.ts";
import type { Exhausted } from "../agents/model-proxy.ts";
import type { RunLimits } from "../config/config.ts";
import { LeaseLost } from "../lifecycle/fence.ts";
import type { ReadingByRun } from "../sandboxes/process/journal.ts";
import type { ProcessUsage, Sandbox, SandboxProcess, SandboxProvider } from "../sandboxes/sandbox.ts";
import { ingest } from "./ingest.ts";
import { exceededLimit, type Limit, mayTidyUp, watchLimits } from "./limits.ts";
import { Outage } from "./outages.ts";
import type { RunGateway } from "./run-gateway.ts";
import type { RunWriter } from "./writer.ts";

/** The time between SIGTERM and SIGKILL, milliseconds. */
export const STOP_GRACE_MS = 5_000;

/** @param exhausted see RunGateway. */
function spentLimit({ reason }: AbortSignal): Limit {
  const { denied, message } = reason as Exhausted;
  return { name: denied, reason: message };
}

export interface WatchResult {
  verdict: AgentVerdict;
  identity: AgentIdentity;
  /** The limit that ended the agent. */
  limit?: Limit | undefined;
  /** The agent ended without an exit code: it was killed with its supervisor, or the machine was restarted. */
  lost: boolean;
  /** The most memory and processes that the agent had. */
  peak: ProcessUsage["peak"];
}

/**
 * Stores an agent's output until the agent and its child processes have ended. Stops the agent at a limit or when its user
 * cancels.
 * @param options.stored bytes of the output whose events are stored already.
 * @throws Outage if the agent has none of the tools of its sandbox. What `life` aborted with; the agent then continues
 *   unwatched.
 */
export async function watchAgent(options: {
  writer: RunWriter;
  process: SandboxProcess;
  reader: AgentReader;
  stored: number;
  limits: RunLimits;
  sandboxes: Pick<SandboxProvider, "freeBytes" | "disk">;
  sandbox: Pick<Sandbox, "watchDisk">;
  life: AbortSignal;
  cancelled: AbortSignal;
  /** See watchLimits. */
  asks: () => boolean;
  waitedMs: number;
  /** Once the agent may call its model no more, it has been told so, and ends by itself or is stopped. */
  gateway: Pick<RunGateway, "exhausted" | "modelDenied"> | undefined;
}): Promise<WatchResult> {
  const { writer, process, stored, limits, sandboxes, sandbox, life, cancelled, asks, waitedMs } = options;
  const { gateway } = options;
  const exhausted = gateway?.exhausted;
  const reader: AgentReader = {
    ...options.reader,
    read(line) {
      const event = options.reader.read(line);
      if (options.reader.toolsMissing?.()) stop(0);
      return event;
    },
  };
  const stop = (graceMs = STOP_GRACE_MS) => void process.stop(graceMs).catch(() => undefined);
  const onCancel = () => stop();
  let limit: Limit | undefined;
  const onLimit = (hit: Limit) => {
    limit ??= hit;
    stop(mayTidyUp(hit) ? STOP_GRACE_MS : 0);
  };
  const watch = watchLimits({
    limits,
    process,
    sandboxes,
    sandbox,
    hasResult: reader.hasResult,
    asks,
    waitedMs,
    onLimit,
  });
  let lastWords: ReturnType<typeof setTimeout> | undefined;
  const onExhausted = () => {
    if (exhausted) lastWords = setTimeout(() => onLimit(spentLimit(exhausted)), limits.resultGraceMs);
  };
  exhausted?.addEventListener("abort", onExhausted, { once: true });
  life.addEventListener("abort", process.detach, { once: true });
  cancelled.addEventListener("abort", onCancel, { once: true });
  if (life.aborted) process.detach();
  if (cancelled.aborted) onCancel();
  try {
    const lines = (byRun: ReadingByRun) => process.lines(0, byRun);
    await ingest({ lines, reader, stored, limits, onLimit, write: writer.append });
    life.throwIfAborted();
    const exit = await process.exit;
    const missing = reader.toolsMissing?.();
    if (missing && !cancelled.aborted) throw new Outage(missing, "sandbox");
    const usage = await process.usage();
    limit ??= exceededLimit(usage);
    // The agent had finished its work before it was stopped.
    const said = reader.verdict(limit?.name === "result" ? { ...exit, code: 0, signal: null } : exit);
    const denied = gateway?.modelDenied();
    if (exhausted?.aborted && (!said.ok || denied)) limit ??= spentLimit(exhausted);
    // Codex, for one, says what it was answered, and that it is done.
    const verdict: AgentVerdict = denied ? { ...said, ok: false, reason: denied.message } : said;
    return { verdict, identity: reader.identity(), limit, lost: exit.lost, peak: usage.peak };
  } catch (error) {
    life.throwIfAborted();
    // A superseded run leaves the agent to the new runner. After a permanent failure to store, the agent is stopped.
    if (!(error instanceof LeaseLost)) await process.stop(STOP_GRACE_MS);
    throw error;
  } finally {
    watch.stop();
    clearTimeout(lastWords);
    exhausted?.removeEventListener("abort", onExhausted);
    life.removeEventListener("abort", process.detach);
    cancelled.removeEventListener("abort", onCancel);
  }
}
