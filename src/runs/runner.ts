import { promptText } from "../agents/prompt-text.ts";
import { persistently } from "../db/retry-while-unavailable.ts";
import type { Metrics, RunPhase } from "../observability/metrics.ts";
import type { Sandbox, WorkResult } from "../sandboxes/sandbox.ts";
import { heldSandboxes } from "../sandboxes/store.ts";
import { messageOf } from "../shared/errors.ts";
import { detachRun, handOver, postponeRun } from "./end-store.ts";
import { backoffMs, CutShort, classify, MAX_ATTEMPTS, NotNow, Poison } from "./failures.ts";
import { conclude, type Outcome, ownUsage } from "./finish.ts";
import type { Lease, LeaseKeeper } from "./leases.ts";
import { type PrepareDeps, prepare, resume, type Stage } from "./prepare.ts";
import { type ClaimedRun, LeaseLost } from "./run.ts";
import { markDelivering } from "./store.ts";
import { STOP_GRACE_MS, supervise } from "./watch-agent.ts";

/** After a shutdown the agents on this machine are kept for its next runner so long, milliseconds; then any may start over. */
const DETACHED_MS = 60_000;

/** About four minutes in all. */
const MAX_DELIVERIES = 8;

export interface RunnerDeps extends PrepareDeps {
  leases: LeaseKeeper;
  /** What a shutdown does with agents that run: leaves them to the next process on this machine, or ends them. */
  handover: "leave" | "stop";
}

/**
 * The life of one claimed prompt: prepare, run, ingest, finish. It ends as Completed, Failed or Cancelled with its
 * reason in the session; or waits for another try; or is left to the next runner when this process shuts down; or
 * leaves everything to the runner that superseded it.
 * @param shutdown aborts when this process must not wait any longer.
 */
export async function runClaimed(deps: RunnerDeps, run: ClaimedRun, shutdown: AbortSignal): Promise<void> {
  const ids = { session_id: run.sessionId, prompt_id: run.promptId, run: `${run.promptId}/${run.epoch}` };
  const logger = deps.logger.with(ids);
  logger.info("run started", { attempt: run.attempt });
  const lease = deps.leases.hold(run);
  const life = AbortSignal.any([lease.lost, shutdown]);
  const context: Context = { deps: { ...deps, logger }, run, lease, life, stage: undefined };
  const { metrics } = deps;
  metrics.runStarted();
  metrics.phase("queue", run.waitedMs / 1000);
  let ended = { outcome: "left", kind: "none", usage: {} };
  try {
    const outcome = await attempt(context);
    await conclude(deps.orm, run, outcome, lease.lost);
    ended = {
      outcome: outcome.status.toLowerCase(),
      kind: outcome.kind ?? "none",
      usage: { ...outcome.usage },
    };
    logger.info("run ended", { status: outcome.status, kind: outcome.kind, reason: outcome.reason });
  } catch (error) {
    ended = { ...ended, outcome: "interrupted", kind: classify(error).kind };
    await settle(context, error, shutdown).catch((failure: unknown) => {
      // The lease runs out by itself, and whoever takes over finds everything as it is now.
      logger.warn("run left as it is", { error: messageOf(failure) });
    });
  } finally {
    context.stage?.process.letGo();
    await context.stage?.access?.close();
    lease.release();
    const { outcome, kind, usage } = ended;
    metrics.runEnded({ agent: deps.agent.name, outcome, kind }, usage);
  }
}

interface Context {
  deps: RunnerDeps;
  run: ClaimedRun;
  lease: Lease;
  life: AbortSignal;
  /** What there is to go on with, once the agent was started or adopted. */
  stage: Stage | undefined;
}

async function attempt(context: Context): Promise<Outcome> {
  const { deps, run, lease, life } = context;
  // An agent that already runs is found first and ended then: being cancelled must not keep it from being found.
  const phase = timer(deps.metrics);
  context.stage = await prepare(deps, run, AbortSignal.any([life, lease.cancelled]));
  phase("prepare");
  let result = await watch(context, context.stage);
  const { adopted, resumable, sandbox } = context.stage;
  // Nobody served it while it ended: that it failed says nothing about its work.
  const unattended = adopted && !result.verdict.ok && !result.limit;
  const again = (result.lost || unattended) && !lease.cancelled.aborted && run.attempt <= MAX_ATTEMPTS;
  if (again && (await resumable())) {
    await context.stage.access?.close();
    context.stage = await resume(deps, run, sandbox, AbortSignal.any([life, lease.cancelled]));
    result = await watch(context, context.stage);
  }
  if (!lease.cancelled.aborted) {
    // The disk is everybody's: whose fault it is that it is full, nobody knows.
    if (result.limit?.name === "disk") throw new CutShort(result.limit.reason);
    if (result.lost && !result.limit) throw new CutShort("The agent was killed in the middle of its work.");
  }
  phase("run");
  const { verdict, limit } = result;
  const work = await deliver(context, context.stage);
  phase("finish");
  const { summary } = verdict;
  const usage = context.stage.record.resumed ? await ownUsage(deps.orm, run, verdict) : verdict.usage;
  const common = { summary, usage, work };
  if (lease.cancelled.aborted) return { status: "Cancelled", reason: CANCELLED, ...common };
  if (limit && limit.name !== "result")
    return { status: "Failed", kind: "limit", reason: limit.reason, ...common };
  if (verdict.ok) return { status: "Completed", reason: limit?.reason, ...common };
  return { status: "Failed", kind: "agent", reason: verdict.reason, ...common };
}

/** Each call says which phase has ended now. */
function timer(metrics: Metrics): (phase: RunPhase) => void {
  let began = performance.now();
  return (phase) => {
    metrics.phase(phase, (performance.now() - began) / 1000);
    began = performance.now();
  };
}

const CANCELLED = "The run was cancelled.";

function watch({ deps, run, lease, life }: Context, { process, stored }: Stage) {
  const { orm, agent, limits, sandboxes } = deps;
  return supervise({
    orm,
    run,
    process,
    reader: agent.reader(),
    stored,
    limits,
    sandboxes,
    life,
    cancelled: lease.cancelled,
  });
}

/**
 * Takes the work to its branch. That it may have left is recorded before it does. What stands in the way for a while (a
 * full disk) is waited out here: another attempt would do the work a second time, on top of what has arrived of the first.
 */
async function deliver({ deps, run, life }: Context, { sandbox, record }: Stage): Promise<WorkResult> {
  await persistently(life, () => markDelivering(deps.orm, run, record));
  for (let tries = 1; ; tries += 1) {
    try {
      return await sandbox.collect(commitMessage(run), life);
    } catch (error) {
      life.throwIfAborted();
      if (tries >= MAX_DELIVERIES || classify(error).kind !== "transient") throw error;
      deps.logger.warn("the work could not be taken to its branch, will try again", {
        tries,
        error: messageOf(error),
      });
      await Bun.sleep(backoffMs(tries));
      life.throwIfAborted();
    }
  }
}

/** What becomes of a run that could not go on to its end. @throws LeaseLost; what the database says. */
async function settle(context: Context, error: unknown, shutdown: AbortSignal): Promise<void> {
  const { deps, run, lease, stage } = context;
  const { orm, logger, handover } = deps;
  if (error instanceof LeaseLost || lease.lost.aborted) {
    deps.metrics.fencedWrite();
    logger.warn("run superseded", { error: messageOf(error) });
    // Where the new runner is on another machine, the sandbox here is nobody's any more.
    await deps.sandboxes.sweep((ids) => heldSandboxes(orm, ids));
    return;
  }
  if (shutdown.aborted) {
    if (stage && handover === "leave") {
      logger.info("run left to the next process on this machine");
      return await detachRun(orm, run, DETACHED_MS);
    }
    logger.info("run handed over: this process is shutting down");
    await stage?.process.stop(STOP_GRACE_MS).catch(() => undefined);
    return await handOver(orm, run);
  }
  if (lease.cancelled.aborted)
    return await conclude(
      orm,
      run,
      { status: "Cancelled", reason: CANCELLED, summary: "", usage: {} },
      lease.lost,
    );

  const { kind, message } = classify(error);
  logger.warn("run failed", { kind, error });
  const spent = run.attempt >= MAX_ATTEMPTS;
  const failure = { attempt: run.attempt, at: new Date().toISOString(), kind, error: message };
  if (kind === "transient" && (error instanceof NotNow || !spent)) {
    const delayMs = error instanceof NotNow ? error.delayMs : backoffMs(run.attempt);
    const countsAsAttempt = !(error instanceof NotNow);
    return await persistently(lease.lost, () => postponeRun(orm, run, { delayMs, failure, countsAsAttempt }));
  }
  const dead = kind === "transient" || kind === "poison";
  const evidence = dead ? { ...run, failures: [...run.failures, failure] } : run;
  const work = error instanceof Poison ? await salvage(context) : undefined;
  const reason = kind === "transient" ? `${message} It was tried ${MAX_ATTEMPTS} times.` : message;
  const outcome: Outcome = { status: "Failed", kind, reason, summary: "", usage: {}, work, dead };
  await conclude(orm, evidence, outcome, lease.lost);
}

/** What a prompt that is given up has left in its checkout, taken to its branch where that can be done. */
async function salvage({ deps, run, lease }: Context): Promise<WorkResult | undefined> {
  try {
    const sandbox: Sandbox | undefined = run.sbxConfig
      ? await deps.sandboxes.reopen(run.sbxConfig, run)
      : undefined;
    return await sandbox?.collect(commitMessage(run), lease.lost);
  } catch (error) {
    deps.logger.warn("nothing could be saved of a prompt that is given up", { error: messageOf(error) });
    return undefined;
  }
}

function commitMessage(run: ClaimedRun): string {
  const [first = ""] = promptText(run.data).trim().split("\n");
  return `${first.slice(0, 72) || "Work of the agent"}\n\nSession: ${run.sessionId}`;
}
