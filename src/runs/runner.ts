import type { AgentVerdict } from "../agents/agent.ts";
import type { AgentCatalog } from "../agents/catalog.ts";
import type { Orm } from "../db/client.ts";
import type { OutageSeries } from "../db/json-columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Metrics, RunPhase } from "../observability/metrics.ts";
import { redactingReader } from "../projects/redact.ts";
import type { ProjectOf } from "../projects/run-project.ts";
import type { Attest, RunAgent } from "../provenance/attest.ts";
import { RepositoryError } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import { meteredUsage } from "../spend/store.ts";
import type { AgentRun, PrepareDeps } from "./agent-run.ts";
import { deliver } from "./deliver.ts";
import { AgentKilled, classify, DISK_WAS_FULL, MAX_ATTEMPTS } from "./failures.ts";
import {
  describeWork,
  finishRun,
  isRefused,
  type Outcome,
  type PullRequestOf,
  usageOfPrompt,
} from "./finish.ts";
import { CANCELLED, handleRunFailure } from "./handle-failure.ts";
import type { Lease, LeaseManager } from "./leases.ts";
import { deliverMail } from "./mail.ts";
import { Outage } from "./outages.ts";
import { prepare } from "./prepare.ts";
import { pushWork } from "./push-run.ts";
import { agentOf, requireAgent } from "./requirements.ts";
import { CALM_MS } from "./stalled-adoptions.ts";
import { replayAgent, resumeAgent } from "./start-agent.ts";
import { nextStep, suspensionOf } from "./suspension.ts";
import { syncWork } from "./sync-run.ts";
import { waitedMs } from "./talk-store.ts";
import { type WatchResult, watchAgent } from "./watch-agent.ts";
import { openRunWriter, type RunWriter } from "./writer.ts";

export interface RunnerDeps extends Omit<PrepareDeps, "agent"> {
  /** Of this machine; each run has one of them. */
  agents: AgentCatalog;
  /** See Database. */
  asyncCommit: Orm;
  leases: LeaseManager;
  pullRequestOf?: PullRequestOf | undefined;
  /** Default: there are no projects. */
  projectOf?: ProjectOf | undefined;
  attest: Attest;
  /** Of this program, and so of an agent that is a part of it. */
  version: string;
  /** On shutdown, leave running agents to the next process on this machine, or stop them. */
  handover: "leave" | "stop";
}

/** One run, from its claim to its end. */
export interface RunnerState {
  deps: RunnerDeps & PrepareDeps;
  run: ClaimedRun;
  lease: Lease;
  /** Aborts when the lease is lost or this process must stop. */
  life: AbortSignal;
  /** Writes until `life` aborts. */
  writer: RunWriter;
  /** What works on the prompt; its model and version once it has said them. */
  agent: RunAgent;
  /** Set once the agent was started or adopted. */
  agentRun: AgentRun | undefined;
  /** Whether work may have left the sandbox. */
  delivering: boolean;
  /** The failures that the prompt has waited out, if what it waited for has not answered since. */
  outage: OutageSeries | null;
  /** For the log: where a run was that did not end by itself. */
  step: "prepare" | "watch" | "start again" | "store memory" | "deliver" | "push" | "sync";
}

/**
 * Executes a claimed prompt: prepare, watch, deliver, finish. The prompt ends as Completed, Failed or Cancelled, with the
 * reason in the session; or it waits for another attempt; or, on shutdown, it is left to the next runner. A superseded run
 * leaves everything to its successor.
 * @param shutdown aborts when this process must stop.
 */
export async function runClaimed(deps: RunnerDeps, run: ClaimedRun, shutdown: AbortSignal): Promise<void> {
  const ids = { session_id: run.sessionId, prompt_id: run.promptId, run: `${run.promptId}/${run.epoch}` };
  const logger = deps.logger.with(ids);
  logger.info("run started", { attempt: run.attempt });
  const lease = deps.leases.hold(run);
  const life = AbortSignal.any([lease.lost, shutdown]);
  const writer = openRunWriter({
    orm: deps.orm,
    asyncCommit: deps.asyncCommit,
    run,
    signal: life,
    limits: deps.limits,
  });
  const agent = agentOf(deps.agents, run);
  const state: RunnerState = {
    ...{ deps: { ...deps, agent, logger }, run, lease, life, writer },
    agent: { name: run.agent ?? agent.name, ...(agent.builtIn && { version: deps.version }) },
    agentRun: undefined,
    delivering: run.process?.delivering === true,
    outage: run.outage,
    step: run.kind === "agent" ? "prepare" : run.kind,
  };
  const { metrics } = deps;
  metrics.runStarted();
  metrics.phase("queue", run.waitedMs / 1000);
  let ended = { outcome: "left", kind: "none", usage: {} };
  try {
    // As it is now, also for an agent that an earlier runner started: what it prints, or what is pushed, must not have the secrets.
    const project = await (run.kind === "agent" ? undefined : deps.projectOf?.(run, life));
    if (project) state.deps = { ...state.deps, project };
    const outcome = await WORK[run.kind](state);
    // Once the work is delivered, a shutdown does not keep the run from being finished.
    const last = openRunWriter({ orm: deps.orm, run, signal: lease.lost });
    const wanted = (done: ClaimedRun) => deps.pullRequestOf?.(done, state.deps.project?.pullRequest);
    await finishRun(last, run, outcome, wanted);
    const { status, kind, reason, usage } = outcome;
    ended = {
      outcome: outcome.suspends ? "suspended" : status.toLowerCase(),
      kind: kind ?? "none",
      usage: { ...usage },
    };
    const said = outcome.suspends ? { for: "budget", reason } : { status, kind, reason };
    logger.info(outcome.suspends ? "run waits" : "run ended", said);
  } catch (error) {
    ended = { ...ended, outcome: "interrupted", kind: classify(error).kind };
    await handleRunFailure(state, error, shutdown).catch((failure: unknown) => {
      // The lease expires by itself, and a takeover continues from the present state.
      logger.warn("run abandoned until its lease expires", { error: messageOf(failure) });
    });
  } finally {
    state.agentRun?.process.detach();
    await state.agentRun?.gateway?.close();
    lease.release();
    const { outcome, kind, usage } = ended;
    metrics.runEnded({ agent: run.kind === "agent" ? agent.name : "none", outcome, kind }, usage);
  }
}

/** What a run does, by the kind of its prompt. */
const WORK = { agent: runToEnd, push: pushWork, sync: syncWork } as const;

async function runToEnd(state: RunnerState): Promise<Outcome> {
  const { run, lease, life, writer } = state;
  const phase = phaseTimer(state.deps.metrics);
  await requireAgent(state.deps, run);
  // As it is now, also for an agent that an earlier runner started: what it prints must not have the secrets.
  const project = await state.deps.projectOf?.(run, life);
  state.deps = { ...state.deps, project };
  const { deps } = state;
  // A cancelled run adopts a running agent, too, to end it afterwards.
  const agentRun = await prepare(deps, run, writer, AbortSignal.any([life, lease.cancelled]));
  state.agentRun = agentRun;
  if (!agentRun.adopted && state.outage?.cause !== "model") state.outage = null;
  phase("prepare");
  state.step = "watch";
  const { verdict, identity, limit, peak } = await watchToEnd(state, agentRun);
  state.agent = { ...state.agent, ...identity };
  // The user reads what was refused before the run's end.
  await state.agentRun.gateway?.flush();
  phase("run");
  const { record, sandbox } = state.agentRun;
  // After a limit it has failed anyway; and of what may have been delivered, nothing is done again.
  if (!limit && !record.delivering && !(await sandbox.intact())) throw new AgentKilled(DISK_WAS_FULL);
  // Memory that cannot be kept is no reason to lose the work: the next prompt is told what was said instead.
  const { agent, logger } = deps;
  state.step = "store memory";
  const memory = await deps.memory
    .store(run, { sandbox, agent, redactor: project?.redactor, signal: life })
    .catch((error: unknown) => {
      life.throwIfAborted();
      logger.warn("what the agent remembers could not be stored", { error: messageOf(error) });
      return undefined;
    });
  state.delivering = true;
  state.step = "deliver";
  const work = await deliver({
    ...{ writer, run, sandbox, record, life, cancelled: lease.cancelled, logger },
    ...{ agent: state.agent, redactor: project?.redactor },
    mayStartOver: !limit,
  }).catch((error: unknown) => {
    // A sandbox that is full has no space for a commit either, and what the user must hear of is the limit.
    if (limit?.name !== "quota" || !(error instanceof RepositoryError)) throw error;
    logger.warn("the work of a run that filled its disk could not be delivered", { error: messageOf(error) });
    return undefined;
  });
  phase("finish");
  const metered = await retryWhileUnavailable(life, () => meteredUsage(deps.orm, run.promptId));
  const usage = { ...usageOfPrompt(verdict, run, record.resumed ?? false, peak), ...metered };
  const provenance = work && deps.attest(run, state.agent, { work, usage: { ...usage } });
  const common = { summary: verdict.summary, usage, work, provenance, memory };
  if (lease.cancelled.aborted) return { status: "Cancelled", reason: CANCELLED, ...common };
  const suspends = limit?.name === "budget" ? suspensionOf(state, limit) : undefined;
  if (suspends && work && !isRefused(work))
    return { status: "Failed", kind: "limit", reason: suspends.failure.error, ...common, suspends };
  if (limit && limit.name !== "result")
    return {
      status: "Failed",
      kind: "limit",
      reason: work
        ? `${limit.reason}${nextStep(limit, state)}`
        : `${limit.reason} Its work could not be delivered.`,
      ...common,
    };
  if (verdict.ok && work && isRefused(work))
    return {
      ...{ status: "Failed", kind: "agent", reason: describeWork(run, work) },
      ...{ ...common, work: undefined, undelivered: work },
    };
  if (verdict.ok) return { status: "Completed", reason: limit?.reason, ...common };
  return { status: "Failed", kind: "agent", reason: verdict.reason, ...common };
}

/** Watches the agent. If it ended through no fault of its own and can be resumed, it is resumed once and watched again. */
async function watchToEnd(state: RunnerState, agentRun: AgentRun): Promise<WatchResult> {
  const { deps, run, lease, life, writer } = state;
  const again = async (begin: typeof resumeAgent | typeof replayAgent) => {
    state.step = "start again";
    await state.agentRun?.gateway?.close();
    const signal = AbortSignal.any([life, lease.cancelled]);
    state.agentRun = await begin(deps, run, writer, agentRun.sandbox, signal);
    state.step = "watch";
    return watch(state, state.agentRun);
  };
  let result = await watch(state, agentRun);
  // Its work may have left the sandbox: nothing of it is done again, whatever its output says.
  if (agentRun.record.delivering) return result;
  // Without a runner it had no access to the model, so that its failure says nothing about its work.
  const unattended = agentRun.adopted && !result.verdict.ok && !result.limit;
  const cutShort = (result.lost || unattended) && !lease.cancelled.aborted && run.attempt <= MAX_ATTEMPTS;
  if (cutShort && (await agentRun.resumable())) result = await again(resumeAgent);
  const { verdict } = result;
  if (
    !verdict.ok &&
    verdict.lostConversation &&
    state.agentRun?.record.resumed &&
    !result.limit &&
    !lease.cancelled.aborted
  )
    result = await again(replayAgent);
  if (lease.cancelled.aborted) return result;
  // All runs share the disk: which of them has filled it is unknown.
  if (result.limit?.name === "disk") throw new AgentKilled(result.limit.reason);
  if (!result.limit && state.agentRun) await requireModel(state.agentRun, result.verdict);
  if (result.lost && !result.limit) throw new AgentKilled("The agent was killed during its work.");
  return result;
}

/**
 * @throws Outage if that is why the agent failed: its work is still in its sandbox, if it has begun. Also if it says that it is
 *   done although the API has answered nothing: Codex does so.
 */
async function requireModel({ gateway, adopted, resumable }: AgentRun, verdict: AgentVerdict): Promise<void> {
  const trouble = gateway?.modelTrouble();
  // What an earlier runner's proxy has answered is not known.
  const isFailed = verdict.ok ? !adopted && trouble?.isFirst === true : verdict.modelFailed === true;
  if (!trouble || !isFailed) return;
  const worked = !verdict.ok && verdict.worked === true;
  throw new Outage(trouble.reason, "model", {
    retryAfterMs: trouble.retryAfterMs,
    keepsSandbox: worked && (await resumable()),
    isNew: worked,
  });
}

async function watch(
  { deps, run, lease, life, writer }: RunnerState,
  { sandbox, process, stored, adopted, gateway }: AgentRun,
) {
  const { agent, limits, sandboxes, orm, logger } = deps;
  const reader = redactingReader(agent.reader(sandbox.remote !== undefined), deps.project?.redactor);
  // Not awaited: at worst the next takeover counts this one as one without progress.
  const recordCalm = () => void writer.recordCalm().catch(() => undefined);
  const { asks } = lease;
  const before = adopted ? await waitedMs(orm, run.promptId, process.ageMs()) : 0;
  const mail = agent.steers ? deliverMail({ orm, run, lease, sandbox, writer, life, logger }) : undefined;
  const calm = adopted ? setTimeout(recordCalm, CALM_MS) : undefined;
  try {
    const cancelled = lease.cancelled;
    return await watchAgent({
      ...{ writer, process, reader, stored, limits, sandboxes, sandbox, life, cancelled },
      ...{ asks, waitedMs: before, gateway },
    });
  } finally {
    clearTimeout(calm);
    await mail?.stop();
  }
}

/** Each call ends a phase. */
function phaseTimer(metrics: Metrics): (phase: RunPhase) => void {
  let began = performance.now();
  return (phase) => {
    metrics.phase(phase, (performance.now() - began) / 1000);
    began = performance.now();
  };
}
