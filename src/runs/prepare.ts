import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Agent, AgentUnavailable } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import { promptText } from "../agents/prompt-text.ts";
import type { RunLimits } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { AgentProcess, SandboxConfig } from "../db/json-columns.ts";
import { persistently } from "../db/retry-while-unavailable.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import {
  type Sandbox,
  type SandboxProcess,
  type SandboxProvider,
  SandboxUnavailable,
} from "../sandboxes/sandbox.ts";
import { Interrupted, MAX_ATTEMPTS, MAX_CLAIMS, NotNow, Poison } from "./failures.ts";
import { type ModelAccess, type ModelSource, openModelAccess, reopenModelAccess } from "./model-access.ts";
import type { ClaimedRun } from "./run.ts";
import { appendMessages, holdSandbox, markAdopted, recordProcess } from "./store.ts";

/** CLAUDE.md beyond this is cut; an argument list has room for about 128 KiB. */
const INSTRUCTIONS_LIMIT = 64 * 1024;
/** The agent's own bound is so much later than the one its runner keeps, milliseconds. */
const BOUND_MARGIN_MS = 120_000;
const DISK_PAUSE_MS = 15_000;
const LENT_PAUSE_MS = 5_000;

export interface PrepareDeps {
  orm: Orm;
  sandboxes: SandboxProvider;
  agent: Agent;
  /** Undefined: there is no key, and agents that need a model cannot run. */
  model: ModelSource | undefined;
  limits: RunLimits;
  metrics: Metrics;
  logger: Logger;
}

/** An agent at work, or one that has just ended, in its sandbox. */
export interface Stage {
  sandbox: Sandbox;
  process: SandboxProcess;
  /** As the database has it. */
  record: AgentProcess;
  /** Bytes of its output that are stored. */
  stored: number;
  /** It was started by an earlier runner. */
  adopted: boolean;
  /** It has been continued from what it remembered, or it could be. */
  resumable: () => Promise<boolean>;
  access: ModelAccess | undefined;
}

const RESTARTED = "The service was interrupted; the prompt starts again from a clean checkout.";
const RESUMED = "The service was interrupted; the agent goes on where it was.";
const AFTER_INTERRUPTION =
  "You were interrupted while you worked on the task below. Look at what is already done, then finish it.";

/**
 * Finds or makes what a run needs. An agent that an earlier runner has started is adopted, whether it still runs or has
 * ended meanwhile; one that was killed goes on in its checkout where it can remember; else the prompt starts over from a
 * clean checkout, for nothing had left the old one.
 * @throws Interrupted where something may have left it; Poison after too many attempts; NotNow while the disk is full.
 */
export async function prepare(deps: PrepareDeps, run: ClaimedRun, signal: AbortSignal): Promise<Stage> {
  const { orm, sandboxes, agent } = deps;
  const old = run.sbxConfig && run.process ? await sandboxes.reopen(run.sbxConfig, run) : undefined;
  const process = old && run.process ? await old.attach(run.process) : undefined;
  const resumable = (sandbox: Sandbox) => () => agent.hasTranscript(sandbox.hostPaths.state, run.sessionId);
  if (old && process && run.process && process.state !== "lost") {
    deps.logger.info("agent adopted", { state: process.state, stored: run.outputOffset });
    deps.metrics.takeover("adopted");
    await markAdopted(orm, run);
    const options = { sandbox: old, runId: run.promptId, logger: deps.logger };
    const access =
      agent.needsModel && deps.model && process.state === "running"
        ? await reopenModelAccess(deps.model, options)
        : undefined;
    const { process: record, outputOffset: stored } = run;
    return { sandbox: old, process, record, stored, adopted: true, resumable: resumable(old), access };
  }
  if (run.process?.delivering && !old)
    throw new Interrupted(
      `The run was interrupted while its work was on its way to branch ${run.branch}. Look at what has arrived there, then send the prompt again.`,
    );
  if (run.attempt > MAX_ATTEMPTS || run.epoch > MAX_CLAIMS) throw new Poison(givenUp(run));
  await requireDisk(deps);
  signal.throwIfAborted();
  if (old && process && (await resumable(old)())) return resume(deps, run, old, signal);

  if (run.process) deps.metrics.takeover("restarted");
  if (run.process) await note(deps, run, RESTARTED, signal);
  if (run.sbxConfig) await sandboxes.release(run.sbxConfig);
  const config = sandboxes.plan();
  await holdSandbox(orm, run, config);
  const record = (changed: SandboxConfig) => persistently(signal, () => holdSandbox(orm, run, changed));
  const sandbox = await sandboxes.open(config, run, signal, record).catch((error: unknown) => {
    throw error instanceof SandboxUnavailable ? new NotNow(error.message, LENT_PAUSE_MS) : error;
  });
  return start(deps, run, sandbox, { text: promptText(run.data), signal });
}

/** Starts the agent once more in the checkout where it was interrupted, with what it remembers. */
export async function resume(
  deps: PrepareDeps,
  run: ClaimedRun,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<Stage> {
  await note(deps, run, RESUMED, signal);
  return start(deps, run, sandbox, { text: `${AFTER_INTERRUPTION}\n\n${promptText(run.data)}`, signal });
}

async function start(
  deps: PrepareDeps,
  run: ClaimedRun,
  sandbox: Sandbox,
  options: { text: string; signal: AbortSignal },
): Promise<Stage> {
  const { orm, agent, model, logger } = deps;
  const { text, signal } = options;
  if (agent.needsModel && !model)
    throw new AgentUnavailable("The agent needs access to a model: set ANTHROPIC_API_KEY.");
  const resumable = () => agent.hasTranscript(sandbox.hostPaths.state, run.sessionId);
  const [known, instructions] = await Promise.all([resumable(), instructionsIn(sandbox.hostPaths.checkout)]);
  const access =
    agent.needsModel && model
      ? await openModelAccess(model, { sandbox, runId: run.promptId, logger })
      : undefined;
  try {
    const command = agent.command({
      prompt: text,
      conversationId: run.sessionId,
      resume: known,
      instructions,
      paths: sandbox.paths,
      remote: sandbox.remote,
      model: access,
    });
    signal.throwIfAborted();
    const process = sandbox.start(command, deps.limits.timeoutMs + BOUND_MARGIN_MS);
    const record = { ...process.record, resumed: known };
    try {
      await persistently(signal, () => recordProcess(orm, run, record));
    } catch (error) {
      // Nobody knows of it: it must not run.
      await process.stop(0);
      throw error;
    }
    return { sandbox, process, record, stored: 0, adopted: false, resumable, access };
  } catch (error) {
    await access?.close();
    throw error;
  }
}

async function note(deps: PrepareDeps, run: ClaimedRun, text: string, signal: AbortSignal): Promise<void> {
  await persistently(signal, () => appendMessages(deps.orm, run, [textEvent(text)]));
}

async function requireDisk({ sandboxes, limits }: PrepareDeps): Promise<void> {
  if (limits.maxCheckoutBytes > 0 && (await sandboxes.usedBytes()) > limits.maxCheckoutBytes)
    throw new NotNow(
      "Waits: the checkouts of other runs take all the space that they may (CHECKOUT_DISK_MB).",
      DISK_PAUSE_MS,
    );
  if ((await sandboxes.freeBytes()) < limits.minFreeBytes)
    throw new NotNow(
      "Waits: the disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).",
      DISK_PAUSE_MS,
    );
}

function givenUp({ failures }: ClaimedRun): string {
  const last = failures.at(-1)?.error ?? "its runner died each time";
  return `This prompt was given up after ${MAX_ATTEMPTS} attempts: ${last}`;
}

/**
 * The repository's own instructions for agents, which `--setting-sources user` keeps the CLI from reading. Never
 * through a symbolic link: a repository could point it at a file of this machine.
 */
async function instructionsIn(checkout: string): Promise<string | undefined> {
  try {
    const file = await open(
      join(checkout, "CLAUDE.md"),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    try {
      return (await file.readFile("utf8")).slice(0, INSTRUCTIONS_LIMIT) || undefined;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
