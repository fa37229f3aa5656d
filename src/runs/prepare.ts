import { type Agent, AgentUnavailable } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import { readInstructions } from "../agents/instructions.ts";
import { promptText } from "../agents/prompt-text.ts";
import type { Config, RunLimits } from "../config/config.ts";
import type { AgentProcess } from "../db/json-columns.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import {
  NotIsolated,
  type Sandbox,
  type SandboxProcess,
  type SandboxProvider,
  SandboxUnavailable,
} from "../sandboxes/sandbox.ts";
import { checkoutRequest } from "./checkout-request.ts";
import {
  AttemptsExhausted,
  Deferred,
  Interrupted,
  MAX_ATTEMPTS,
  MAX_CLAIMS,
  MAX_STALLS,
} from "./failures.ts";
import { type ModelSource, openRunGateway, type RunGateway, reopenRunGateway } from "./run-gateway.ts";
import { afterAdoption, STALLED } from "./stalled-adoptions.ts";
import { untilIsolated } from "./until-isolated.ts";
import type { RunWriter } from "./writer.ts";

/** How much longer the supervisor's time limit is than the runner's, milliseconds. */
const LIMIT_MARGIN_MS = 120_000;
const DISK_DELAY_MS = 15_000;
const SANDBOX_DELAY_MS = 5_000;

export interface PrepareDeps {
  sandboxes: SandboxProvider;
  agent: Agent;
  /** Undefined: there is no key, and agents that need a model cannot run. */
  model: ModelSource | undefined;
  /** What agents may reach besides the model. */
  egress: Config["egress"];
  limits: RunLimits;
  metrics: Metrics;
  logger: Logger;
}

/** An agent in its sandbox, running or just ended. */
export interface AgentRun {
  sandbox: Sandbox;
  process: SandboxProcess;
  /** The record of the process in the database. */
  record: AgentProcess;
  /** Bytes of its output that are stored. */
  stored: number;
  /** Whether an earlier runner started it. */
  adopted: boolean;
  /** Whether the agent could be resumed after an interruption. */
  resumable: () => Promise<boolean>;
  /** Undefined: it has ended, or the gateway of its earlier runner could not be opened again. */
  gateway: RunGateway | undefined;
}

const RESTARTED = "The service was interrupted; the prompt starts again from a clean checkout.";
/** What is above it in the session is from an attempt whose work is gone. */
const CUT_SHORT = "The run was cut short; the prompt starts again from a clean checkout.";
const RESUMED = "The service was interrupted; the agent resumes its work.";
const AFTER_INTERRUPTION =
  "You were interrupted while you worked on the task below. Look at what is already done, then finish it.";

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
  const request = checkoutRequest(run, writer);
  const old = run.sbxConfig && run.process ? await sandboxes.reopen(run.sbxConfig, request) : undefined;
  const process = old && run.process ? await old.attach(run.process) : undefined;
  if (old && process && run.process && process.state !== "lost")
    return adopt(deps, run, writer, { sandbox: old, process, record: run.process }, signal);
  if (run.process?.delivering && !old)
    throw new Interrupted(
      `The run was interrupted while its work was being delivered to branch ${run.branch}. Check what has arrived there, then send the prompt again.`,
    );
  const resumable = old && process && (await resumableIn(agent, old, run)());
  const exhausted = run.attempt > MAX_ATTEMPTS || run.claims > MAX_CLAIMS;
  // Resuming waits by itself; without it, the checkout would be gone after the wait.
  if (exhausted || !resumable) await requireIsolation(deps);
  if (exhausted) throw new AttemptsExhausted(exhaustedMessage(run));
  await requireDisk(deps);
  signal.throwIfAborted();
  if (resumable) {
    // What the agent has started may have outlived it, and would work beside the resumed one.
    await process.stop(0);
    return resume(deps, run, writer, old, signal);
  }

  if (run.process) {
    deps.metrics.takeover("restarted");
    await writer.append([textEvent(RESTARTED)]);
  } else if (run.outputOffset > 0) {
    // A postponed run has no process any more, but its output is in the session. The offset goes back with the note, so
    // that it is written once however often this attempt is begun.
    await writer.append([textEvent(CUT_SHORT)], { from: run.outputOffset, to: 0 });
  }
  if (run.sbxConfig) await sandboxes.release(run.sbxConfig);
  const config = sandboxes.plan();
  await writer.holdSandbox(config);
  const sandbox = await sandboxes
    .open(config, request, signal, (changed) => writer.holdSandbox(changed))
    .catch((error: unknown) => {
      throw error instanceof SandboxUnavailable ? new Deferred(error.message, SANDBOX_DELAY_MS) : error;
    });
  await sandbox.restoreState(keptBy(agent, run));
  return start(deps, run, writer, sandbox, { text: promptText(run.data), signal });
}

async function adopt(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  found: Pick<AgentRun, "sandbox" | "process" | "record">,
  signal: AbortSignal,
): Promise<AgentRun> {
  const { agent, logger } = deps;
  const { sandbox, process } = found;
  const record = await afterAdoption(found, run.outputOffset);
  if ((record.stalls ?? 0) >= MAX_STALLS) {
    await process.stop(0);
    process.detach();
    // Its work is still delivered, if possible.
    await isolated(deps, writer, signal);
    throw new AttemptsExhausted(STALLED);
  }
  logger.info("agent adopted", { state: process.state, stored: run.outputOffset, stalls: record.stalls });
  deps.metrics.takeover("adopted");
  try {
    // Before anything of its output is read.
    await writer.markAdopted(record);
    const gateway =
      process.state === "running"
        ? await reopenRunGateway(gatewayOptions(deps, run, writer, sandbox))
        : undefined;
    const resumable = resumableIn(agent, sandbox, run);
    return { ...found, record, stored: run.outputOffset, adopted: true, resumable, gateway };
  } catch (error) {
    process.detach();
    throw error;
  }
}

/** Starts the agent again, with its transcript, in the checkout where it was interrupted. */
export async function resume(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<AgentRun> {
  await isolated(deps, writer, signal);
  await writer.append([textEvent(RESUMED)]);
  const text = `${AFTER_INTERRUPTION}\n\n${promptText(run.data)}`;
  return start(deps, run, writer, sandbox, { text, signal });
}

async function start(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  options: { text: string; signal: AbortSignal },
): Promise<AgentRun> {
  const { agent, model } = deps;
  const { text, signal } = options;
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
      await writer.recordProcess(record);
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

const gatewayOptions = (deps: PrepareDeps, run: ClaimedRun, writer: RunWriter, sandbox: Sandbox) => ({
  ...{ sandbox, writer, runId: run.promptId, isolation: deps.sandboxes.isolation },
  ...{ egress: deps.egress, metrics: deps.metrics, logger: deps.logger },
  model: deps.agent.needsModel ? deps.model : undefined,
});

/** What of the state outlives the sandbox. */
export const keptBy = (agent: Agent, run: ClaimedRun) => (path: string, isFolder: boolean) =>
  agent.keeps(path, isFolder, run.sessionId);

const resumableIn = (agent: Agent, sandbox: Sandbox, run: ClaimedRun) => () =>
  agent.hasTranscript(sandbox.hostPaths.state, run.sessionId);

/** Before anything is made for a run that the sandbox would refuse to start. The built-in demo may run without. */
async function requireIsolation({ sandboxes, agent }: PrepareDeps): Promise<void> {
  const refusal = agent.builtIn ? undefined : await sandboxes.isolation.refusal();
  if (refusal !== undefined) throw new NotIsolated(refusal);
}

const isolated = (deps: PrepareDeps, writer: RunWriter, life: AbortSignal) =>
  untilIsolated(() => requireIsolation(deps), { writer, logger: deps.logger, life });

async function requireDisk({ sandboxes, limits }: PrepareDeps): Promise<void> {
  if (limits.maxCheckoutBytes > 0 && (await sandboxes.usedBytes()) > limits.maxCheckoutBytes)
    throw new Deferred(
      "Waiting: the checkouts of other runs use all the disk space they may (CHECKOUT_DISK_MB).",
      DISK_DELAY_MS,
    );
  if ((await sandboxes.freeBytes()) < limits.minFreeBytes)
    throw new Deferred(
      "Waiting: the disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).",
      DISK_DELAY_MS,
    );
}

function exhaustedMessage({ failures }: ClaimedRun): string {
  const last = failures.at(-1)?.error ?? "its runner died each time";
  return `This prompt failed after ${MAX_ATTEMPTS} attempts: ${last}`;
}
