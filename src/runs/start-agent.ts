import { AgentUnavailable } from "../agents/agent.ts";
import { notBorrowed } from "../agents/catalog.ts";
import { textEvent } from "../agents/events.ts";
import { readInstructions } from "../agents/instructions.ts";
import { MODEL_API_STYLES } from "../agents/model-apis.ts";
import { promptText } from "../agents/prompt-text.ts";
import type { MemoryKind } from "../db/columns.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { KnownMemory } from "../memory/memory.ts";
import { withTurns } from "../memory/replay.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { type AgentRun, gatewayOptions, modelOf, type PrepareDeps, resumableIn } from "./agent-run.ts";
import { giveAttachments } from "./attachments.ts";
import { MOST_WAITING_MS } from "./limits.ts";
import { emptyMailbox } from "./mail.ts";
import { prepareCheckout } from "./prepared.ts";
import { writePrivate } from "./private-files.ts";
import { awaitIsolation } from "./requirements.ts";
import { openRunGateway } from "./run-gateway.ts";
import type { RunWriter } from "./writer.ts";

/** How much longer the supervisor's time limit is than the runner's, milliseconds. */
const LIMIT_MARGIN_MS = 120_000;
const UNREADABLE = "The agent could not read what it had kept of the conversation.";
/** What the user reads before the reason, if it is not what one expects. */
const FORGOTTEN: Readonly<Record<MemoryKind, string>> = {
  fresh: "",
  resumed: "",
  replayed: "The agent has lost its memory of the earlier prompts and was given the conversation as text.",
  cold: "The agent starts without its memory of the earlier prompts.",
};
const RESUMED = "The service was interrupted; the agent resumes its work.";
const ASKED_AGAIN = "The model's API is asked again; the agent resumes its work.";
const AFTER_INTERRUPTION =
  "You were interrupted while you worked on the task below. Look at what is already done, then finish it.";

const AFTER_BUDGET =
  "You were interrupted while you worked on the task below, because what it may cost was used up. What you had done until then is committed. There is more now: look at what is already done, then finish it.";

/** Starts the agent again, with its transcript, in the checkout where it was interrupted. */
export async function resumeAgent(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<AgentRun> {
  await awaitIsolation(deps, writer, signal);
  await writer.append([textEvent(run.outage?.cause === "model" ? ASKED_AGAIN : RESUMED)]);
  const text = `${AFTER_INTERRUPTION}\n\n${promptText(run.data)}`;
  return startAgent(deps, run, writer, sandbox, { text, signal });
}

/** Begins the conversation again, with what was said as text, in the checkout of an agent that could not resume it. */
export async function replayAgent(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<AgentRun> {
  await awaitIsolation(deps, writer, signal);
  await deps.agent.discardTranscripts(sandbox.hostPaths.state, run.conversationId, "all");
  const memory = await deps.memory.replay(run, deps.agent, UNREADABLE, signal);
  return startWith(deps, run, writer, sandbox, { memory, signal });
}

/** Starts the agent with its prompt and what it must be told of those before, and tells the user what is unexpected. */
export async function startWith(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  { memory, isNew = false, signal }: { memory: KnownMemory; isNew?: boolean; signal: AbortSignal },
): Promise<AgentRun> {
  const { kind, reason, turns } = memory;
  if (deps.agent.replays && reason !== null) await writer.append([textEvent(`${FORGOTTEN[kind]} ${reason}`)]);
  const task = run.suspended ? `${AFTER_BUDGET}\n\n${promptText(run.data)}` : promptText(run.data);
  const text = withTurns(turns, task, kind === "replayed");
  return startAgent(deps, run, writer, sandbox, { text, memory, isNew, signal });
}

/**
 * Starts the agent in a sandbox that is ready, with a gateway of its own, and records its process.
 * @param options.isNew the sandbox is new: what the project says is set up in it first.
 * @param options.memory undefined: it is resumed, and knows what it knew.
 * @throws AgentUnavailable; NotIsolated; LeaseLost; what `signal` aborted with. Then nothing runs.
 */
async function startAgent(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  sandbox: Sandbox,
  options: { text: string; memory?: KnownMemory; isNew?: boolean; signal: AbortSignal },
): Promise<AgentRun> {
  const { agent, project } = deps;
  const model = modelOf(deps);
  const keyName = agent.modelApi && MODEL_API_STYLES[agent.modelApi].keyName;
  const { memory, isNew, signal } = options;
  if (sandbox.remote && agent.onlyLocal) throw new AgentUnavailable(notBorrowed(agent.name));
  if (keyName && !model) throw new AgentUnavailable(`The agent needs access to a model: set ${keyName}.`);
  const resumable = resumableIn(agent, sandbox, run);
  await agent.discardTranscripts(sandbox.hostPaths.state, run.conversationId, "unusable");
  const [resumed, instructions] = await Promise.all([
    resumable(),
    readInstructions(sandbox.hostPaths.checkout),
    keyName && model && writer.recordSecretUse(keyName, new URL(model.upstream).host),
  ]);
  const { text, images } = await giveAttachments(deps.orm, { run, sandbox, text: options.text, signal });
  await emptyMailbox(sandbox);
  const gateway = await openRunGateway(gatewayOptions(deps, run, writer, sandbox));
  try {
    if (isNew && project) await prepareCheckout(deps, writer, sandbox, { run, project, gateway, signal });
    const command = agent.command({
      prompt: text,
      images,
      conversationId: run.conversationId,
      resume: resumed,
      instructions: [project?.instructions, instructions].filter(Boolean).join("\n\n") || undefined,
      mcpServers: project?.mcpServers,
      paths: sandbox.paths,
      remote: sandbox.remote,
      model: gateway.model,
      modelName: run.model ?? undefined,
      mode: run.mode,
      maxTurns: run.maxTurns ?? undefined,
      mailbox: sandbox.mailbox.inside,
    });
    for (const file of command.files ?? []) await writePrivate(sandbox.hostPaths.state, file);
    signal.throwIfAborted();
    const process = sandbox.start(
      { ...command, env: { ...project?.env, ...gateway.env, ...command.env } },
      // What an agent may wait for its user; who watches it counts that time.
      deps.limits.timeoutMs + LIMIT_MARGIN_MS + (agent.steers ? MOST_WAITING_MS : 0),
      gateway.folder,
    );
    const record = { ...process.record, resumed, ...(agent.steers && { steers: true }) };
    try {
      const { isolated, detail } = deps.sandboxes.isolation;
      await writer.recordProcess(record, { isolation: { isolated, detail }, memory });
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
