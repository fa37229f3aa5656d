import { constants, open } from "node:fs/promises";
import { join } from "node:path";
import { type Agent, AgentUnavailable, type AgentVerdict } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import type { ModelProxy } from "../agents/model-proxy.ts";
import type { Orm } from "../db/client.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../observability/logger.ts";
import { promptText } from "../prompts/prompt-text.ts";
import {
  RepositoryError,
  type Sandbox,
  type SandboxProvider,
  type WorkResult,
} from "../sandboxes/sandbox.ts";
import { ingest } from "./ingest.ts";
import { LEASE_TTL_MS, type LeaseKeeper } from "./leases.ts";
import {
  appendMessages,
  type ClaimedRun,
  claimRun,
  costOfOthers,
  finishRun,
  handOver,
  holdSandbox,
  LeaseLost,
} from "./store.ts";

/** A prompt whose runners keep dying is not tried for ever. */
const MAX_ATTEMPTS = 5;
const STOP_GRACE_MS = 5_000;
/** CLAUDE.md beyond this is cut; an argument list has room for about 128 KiB. */
const INSTRUCTIONS_LIMIT = 64 * 1024;

export interface RunnerDeps {
  orm: Orm;
  leases: LeaseKeeper;
  sandboxes: SandboxProvider;
  agent: Agent;
  modelProxy: ModelProxy | undefined;
  /** Wall-clock limit of one run, milliseconds. */
  runTimeoutMs: number;
  logger: Logger;
}

/**
 * The life of one prompt: lease, prepare, run, ingest, finish. It ends as Completed or Failed with its reason in the
 * session, or is handed over when this process shuts down, or leaves everything to the runner that superseded it.
 * @param shutdown aborts when this process must not wait any longer.
 */
export async function runPrompt(deps: RunnerDeps, promptId: string, shutdown: AbortSignal): Promise<void> {
  const run = await claimRun(deps.orm, promptId, deps.leases.owner, LEASE_TTL_MS);
  if (!run) return;
  const logger = deps.logger.with({
    session_id: run.sessionId,
    prompt_id: promptId,
    run: `${promptId}/${run.epoch}`,
  });
  logger.info("run started", { attempt: run.attempt });
  const lease = deps.leases.hold(run);
  try {
    const outcome = await attempt(deps, run, AbortSignal.any([lease.signal, shutdown]));
    await conclude(deps.orm, run, outcome);
    logger.info("run ended", { ok: outcome.ok, error: outcome.ok ? undefined : outcome.reason });
  } catch (error) {
    if (error instanceof LeaseLost || lease.signal.aborted)
      return logger.warn("run superseded", { error: messageOf(error) });
    if (shutdown.aborted) {
      logger.info("run handed over: this process is shutting down");
      return await handOver(deps.orm, run);
    }
    logger.warn("run failed", { error });
    await conclude(deps.orm, run, { ok: false, reason: reasonOf(error), summary: "", usage: {} });
  } finally {
    lease.release();
  }
}

type Outcome = AgentVerdict & { work?: WorkResult };

async function attempt(deps: RunnerDeps, run: ClaimedRun, signal: AbortSignal): Promise<Outcome> {
  const { orm, sandboxes, agent } = deps;
  if (run.attempt > MAX_ATTEMPTS)
    throw new RepositoryError(
      `This prompt was given up: its runner died ${MAX_ATTEMPTS} times. Send it again to try once more.`,
    );
  if (run.sbxConfig) await sandboxes.release(run.sbxConfig);
  const config = sandboxes.plan();
  await holdSandbox(orm, run, config);
  const sandbox = await sandboxes.open(config, run, signal);
  const grant = agent.needsModel ? deps.modelProxy?.grant(run.promptId) : undefined;
  try {
    const verdict = await runAgent(deps, run, sandbox, grant?.token, signal);
    return { ...verdict, work: await sandbox.collect(commitMessage(run), signal) };
  } finally {
    grant?.revoke();
  }
}

/** @throws what `signal` aborted with; past the wall-clock limit it returns a verdict, for the work so far to be kept. */
async function runAgent(
  deps: RunnerDeps,
  run: ClaimedRun,
  sandbox: Sandbox,
  token: string | undefined,
  signal: AbortSignal,
): Promise<AgentVerdict> {
  const { agent, modelProxy } = deps;
  const [resume, instructions] = await Promise.all([
    agent.hasTranscript(sandbox.hostPaths.state, run.sessionId),
    instructionsIn(sandbox.hostPaths.checkout),
  ]);
  const command = agent.command({
    prompt: promptText(run.data),
    conversationId: run.sessionId,
    resume,
    instructions,
    paths: sandbox.paths,
    model: token !== undefined && modelProxy ? { baseUrl: modelProxy.url, token } : undefined,
  });
  signal.throwIfAborted();
  const process = sandbox.start(command);
  const stop = () => void process.stop(STOP_GRACE_MS);
  signal.addEventListener("abort", stop, { once: true });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, deps.runTimeoutMs);
  const reader = agent.reader();
  try {
    await ingest({ lines: process.lines, reader, write: (events) => appendMessages(deps.orm, run, events) });
    const exit = await process.exit;
    signal.throwIfAborted();
    const verdict = await withOwnCost(deps.orm, run, reader.conclude(exit), resume);
    if (!timedOut) return verdict;
    const minutes = Math.round(deps.runTimeoutMs / 60_000);
    return {
      ...verdict,
      ok: false,
      reason: `The run was ended: it took longer than ${minutes} minutes (RUN_TIMEOUT_MINUTES).`,
    };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    // Also where storing failed: what was started is ended.
    await process.stop(STOP_GRACE_MS);
  }
}

/** An agent that resumes a conversation counts its cost from the conversation's beginning; a prompt has its own. */
async function withOwnCost(
  orm: Orm,
  run: ClaimedRun,
  verdict: AgentVerdict,
  resumed: boolean,
): Promise<AgentVerdict> {
  const { cost_usd } = verdict.usage;
  if (!resumed || cost_usd === undefined) return verdict;
  const own = Math.max(0, cost_usd - (await costOfOthers(orm, run)));
  return { ...verdict, usage: { ...verdict.usage, cost_usd: own } };
}

/** Says in the session how the run ended, then ends it. */
async function conclude(orm: Orm, run: ClaimedRun, outcome: Outcome): Promise<void> {
  const notes = [outcome.ok ? undefined : outcome.reason, outcome.work && describeWork(run, outcome.work)];
  const text = notes.filter(Boolean).join("\n\n");
  if (text) await appendMessages(orm, run, [textEvent(text)]);
  await finishRun(orm, run, {
    status: outcome.ok ? "Completed" : "Failed",
    error: outcome.ok ? null : outcome.reason,
    usage: { ...outcome.usage },
    content: [outcome.summary, text].filter(Boolean).join("\n\n"),
  });
}

function describeWork(run: ClaimedRun, work: WorkResult): string {
  if (work.commits === 0)
    return `Nothing was changed: branch ${run.branch} has no commit that ${run.targetBranch} lacks.`;
  const commits = work.commits === 1 ? "1 commit" : `${work.commits} commits`;
  if (work.push.pushed)
    return `Branch ${run.branch} (${commits}, tip ${work.head}) was pushed to ${work.push.to}.`;
  return `Branch ${run.branch} (${commits}, tip ${work.head}) was not pushed: ${work.push.reason}`;
}

function commitMessage(run: ClaimedRun): string {
  const [first = ""] = promptText(run.data).trim().split("\n");
  return `${first.slice(0, 72) || "Work of the agent"}\n\nSession: ${run.sessionId}`;
}

function reasonOf(error: unknown): string {
  if (error instanceof RepositoryError || error instanceof AgentUnavailable) return error.message;
  return "The run failed inside the service. Its log has the details; send the prompt again to retry.";
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
