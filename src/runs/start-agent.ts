import { AgentUnavailable } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import { readInstructions } from "../agents/instructions.ts";
import { promptText } from "../agents/prompt-text.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { KnownMemory } from "../memory/memory.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { type AgentRun, gatewayOptions, type PrepareDeps, resumableIn } from "./agent-run.ts";
import { awaitIsolation } from "./requirements.ts";
import { openRunGateway } from "./run-gateway.ts";
import type { RunWriter } from "./writer.ts";

/** How much longer the supervisor's time limit is than the runner's, milliseconds. */
const LIMIT_MARGIN_MS = 120_000;
const RESUMED = "The service was interrupted; the agent resumes its work.";
const AFTER_INTERRUPTION =
  "You were interrupted while you worked on the task below. Look at what is already done, then finish it.";

/** Starts the agent again, with its transcript, in the checkout where it was interrupted. */
export async function resumeAgent(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<AgentRun> {
  await awaitIsolation(deps, writer, signal);
  await writer.append([textEvent(RESUMED)]);
  const text = `${AFTER_INTERRUPTION}\n\n${promptText(run.data)}`;
  return startAgent(deps, run, writer, sandbox, { text, signal });
}

/**
 * Starts the agent in a sandbox that is ready, with a gateway of its own, and records its process.
 * @param options.memory undefined: it is resumed, and knows what it knew.
 * @throws AgentUnavailable; NotIsolated; LeaseLost; what `signal` aborted with. Then nothing runs.
 */
export async function startAgent(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  options: { text: string; memory?: KnownMemory; signal: AbortSignal },
): Promise<AgentRun> {
  const { agent, model } = deps;
  const { text, memory, signal } = options;
  if (agent.needsModel && !model)
    throw new AgentUnavailable("The agent needs access to a model: set ANTHROPIC_API_KEY.");
  const resumable = resumableIn(agent, sandbox, run);
  await agent.discardUnusableTranscripts(sandbox.hostPaths.state, run.sessionId);
  const [resumed, instructions] = await Promise.all([
    resumable(),
    readInstructions(sandbox.hostPaths.checkout),
    agent.needsModel && model && writer.recordSecretUse("ANTHROPIC_API_KEY", new URL(model.upstream).host),
  ]);
  const gateway = await openRunGateway(gatewayOptions(deps, run, writer, sandbox));
  try {
    const command = agent.command({
      prompt: text,
      conversationId: run.sessionId,
      resume: resumed,
      instructions,
      paths: sandbox.paths,
      remote: sandbox.remote,
      model: gateway.model,
    });
    signal.throwIfAborted();
    const process = sandbox.start(
      { ...command, env: { ...gateway.env, ...command.env } },
      deps.limits.timeoutMs + LIMIT_MARGIN_MS,
      gateway.folder,
    );
    const record = { ...process.record, resumed };
    try {
      await writer.recordProcess(record, memory);
      if (memory) deps.metrics.agentMemory(memory.kind);
    } catch (error) {
      // Without a record no runner would find the agent: it must not run.
      await process.stop(0);
      throw error;
    }
    return { sandbox, process, record, stored: 0, adopted: false, resumable, gateway };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}
