import { textEvent } from "../agents/events.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { noticesText, SandboxUnavailable } from "../sandboxes/sandbox.ts";
import { adoptAgent } from "./adopt-agent.ts";
import { type AgentRun, type PrepareDeps, resumableIn } from "./agent-run.ts";
import { checkoutRequest } from "./checkout-request.ts";
import { Deferred, Interrupted } from "./failures.ts";
import { isExhausted, requireAttempts, requireDisk, requireIsolation } from "./requirements.ts";
import { resumeAgent, startWith } from "./start-agent.ts";
import type { RunWriter } from "./writer.ts";

const SANDBOX_DELAY_MS = 5_000;
const RESTARTED = "The service was interrupted; the prompt starts again from a clean checkout.";
/** What is above it in the session is from an attempt whose work is gone. */
const CUT_SHORT = "The run was cut short; the prompt starts again from a clean checkout.";

/**
 * Provides a sandbox with an agent. An agent that an earlier runner started is adopted, whether it runs or has ended. One
 * that was killed is resumed in its checkout if it has a transcript. Otherwise the prompt starts over from a clean
 * checkout, which is safe because no work has left the old one.
 * @throws Interrupted if work may have left it; AttemptsExhausted; NotIsolated; Deferred while the disk is full or no
 * sandbox is available; LeaseLost.
 */
export async function prepare(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  signal: AbortSignal,
): Promise<AgentRun> {
  const { sandboxes, agent } = deps;
  const request = checkoutRequest(deps, run, writer, signal);
  const old = run.sbxConfig && run.process ? await sandboxes.reopen(run.sbxConfig, request) : undefined;
  const process = old && run.process ? await old.attach(run.process) : undefined;
  if (old && process && run.process && process.state !== "lost")
    return adoptAgent(deps, run, writer, { sandbox: old, process, record: run.process }, signal);
  if (run.process?.delivering)
    throw new Interrupted(
      `The run was interrupted while its work was being delivered to branch ${run.branch}. Check what has arrived there, then send the prompt again.`,
    );
  const resumable = old && process && (await resumableIn(agent, old, run)());
  // Resuming waits by itself; without it, the checkout would be gone after the wait.
  if (isExhausted(run) || !resumable) await requireIsolation(deps);
  requireAttempts(run);
  await requireDisk(deps);
  signal.throwIfAborted();
  if (resumable) {
    // What the agent has started may have outlived it, and would work beside the resumed one.
    await process.stop(0);
    return resumeAgent(deps, run, writer, old, signal);
  }

  if (run.process) deps.metrics.takeover("restarted");
  // A run that was postponed, handed over or revived has no process any more, but its output is in the session.
  if (run.outputOffset > 0 || run.process?.hasOutput)
    await writer.beginAnew(textEvent(run.process ? RESTARTED : CUT_SHORT));
  if (run.sbxConfig) await sandboxes.release(run.sbxConfig);
  const config = sandboxes.plan();
  await writer.holdSandbox(config);
  const sandbox = await sandboxes
    .open(config, request, signal, (changed) => writer.holdSandbox(changed))
    .catch((error: unknown) => {
      if (!(error instanceof SandboxUnavailable)) throw error;
      throw new Deferred(error.message, "sandbox", Math.max(SANDBOX_DELAY_MS, error.retryAfterMs));
    });
  if (sandbox.notices.length > 0) await writer.appendOnce(textEvent(noticesText(sandbox.notices)));
  const memory = await deps.memory.restore(run, { sandbox, agent, signal });
  return startWith(deps, run, writer, sandbox, { memory, isNew: true, signal });
}
