import type { Failure } from "../db/json-columns.ts";
import { LeaseLost } from "../lifecycle/fence.ts";
import type { WorkResult } from "../sandboxes/sandbox.ts";
import { heldSandboxes } from "../sandboxes/store.ts";
import { messageOf } from "../shared/errors.ts";
import { checkoutRequest } from "./checkout-request.ts";
import { commitMessage } from "./commit-message.ts";
import {
  AttemptsExhausted,
  backoffMs,
  classify,
  DISK_WAS_FULL,
  deferredOf,
  MAX_ATTEMPTS,
} from "./failures.ts";
import { finishRun, type Outcome } from "./finish.ts";
import { continued, givenUpText, type Outage, outageDelayMs, outageOf, triedText } from "./outages.ts";
import type { RunnerState } from "./runner.ts";
import { STOP_GRACE_MS } from "./watch-agent.ts";
import { openRunWriter, type RunWriter } from "./writer.ts";

export const CANCELLED = "The run was cancelled.";

/** How long after a shutdown only runners on this machine may claim its agents, milliseconds. */
const DETACHED_MS = 60_000;

/** Handles a run that failed: retries, ends or leaves its prompt. @throws LeaseLost, and errors of the database. */
export async function handleRunFailure(
  state: RunnerState,
  error: unknown,
  shutdown: AbortSignal,
): Promise<void> {
  const { deps, run, lease } = state;
  if (error instanceof LeaseLost || lease.lost.aborted) {
    deps.metrics.fencedWrite();
    deps.logger.warn("run superseded", { step: state.step, error: messageOf(error) });
    // If the new runner is on another machine, no session holds the sandbox here any more.
    await deps.sandboxes.sweep((ids) => heldSandboxes(deps.orm, ids));
    return;
  }
  // The run's own writer stops at a shutdown; these last writes are limited by the lease alone.
  const writer = openRunWriter({ orm: deps.orm, run, signal: lease.lost });
  if (shutdown.aborted) return await leave(state, writer);
  if (lease.cancelled.aborted) return await finishRun(writer, run, cancelledOutcome(state, error));

  const outage = outageOf(error);
  if (outage) return await waitFor(state, writer, outage);
  const deferred = deferredOf(error, run.epoch);
  const { kind, message } = classify(deferred ?? error);
  deps.logger.warn("run failed", { kind, step: state.step, error });
  const failure = { attempt: run.attempt, at: new Date().toISOString(), kind, error: message };
  if (deferred) {
    const { waitingFor, delayMs } = deferred;
    return await writer.postpone({ waitingFor, delayMs, failure, outage: null });
  }
  if (kind === "transient" && run.attempt < MAX_ATTEMPTS)
    return await writer.retry({ delayMs: backoffMs(run.attempt), failure });
  const reason = kind === "transient" ? `${message} All ${MAX_ATTEMPTS} attempts failed.` : message;
  await fail(state, writer, { error, reason, failure, dead: kind === "transient" || kind === "poison" });
}

/** The run waits for what does not answer, or has waited long enough. */
async function waitFor(state: RunnerState, writer: RunWriter, outage: Outage): Promise<void> {
  const { deps, run, delivering } = state;
  const now = new Date();
  const series = continued(state.outage, outage, now);
  const leftMs = Date.parse(series.since) + deps.limits.retryTransientMs - now.getTime();
  const delayMs = outageDelayMs(series, outage, leftMs);
  const { outageCause: waitingFor, message, keepsSandbox } = outage;
  const { step, agentRun } = state;
  const about = { for: waitingFor, step, since: series.since, tries: series.tries, error: outage };
  const at = now.toISOString();
  if (delayMs === undefined) {
    deps.logger.warn("run failed: what it waits for did not answer in time", about);
    // Work of which a part may have left its sandbox must not be done again.
    const kind = delivering ? "interrupted" : "transient";
    const reason = `${message} ${givenUpText(series, now)}`;
    const failure = { attempt: run.attempt, at, kind, error: reason } as const;
    return await fail(state, writer, { error: outage, reason, failure, dead: !delivering });
  }
  const reason = `${message} ${triedText(series, now, new Date(now.getTime() + delayMs))}`;
  deps.logger.warn("run waits", { ...about, delay_ms: Math.round(delayMs) });
  const failure = { attempt: run.attempt, at, kind: "transient", error: reason } as const;
  const wait = { waitingFor, delayMs, failure, outage: series };
  if (keepsSandbox) return await writer.park(wait, DETACHED_MS);
  await agentRun?.process.stop(STOP_GRACE_MS).catch(() => undefined);
  await writer.postpone(wait);
}

/** Ends the run as Failed, with what can be saved of its work. */
async function fail(
  state: RunnerState,
  writer: RunWriter,
  { error, reason, failure, dead }: { error: unknown; reason: string; failure: Failure; dead: boolean },
): Promise<void> {
  const work = mayHoldWork(state, error) ? await salvage(state, writer) : undefined;
  const outcome: Outcome = {
    status: "Failed",
    kind: failure.kind,
    reason,
    summary: "",
    usage: {},
    work,
    provenance: work && state.deps.attest(state.run, state.agent, { work, usage: {} }),
    dead,
    failure,
  };
  await finishRun(writer, state.run, outcome);
}

/**
 * On shutdown: leaves the agent, which may have ended, to the next process on this machine, or stops it and requeues the
 * prompt, which starts over. Once work may have left the sandbox it is always left: it must not be done again.
 */
async function leave(state: RunnerState, writer: RunWriter): Promise<void> {
  const { deps, run, agentRun, delivering, step } = state;
  // One that was about to be adopted, too.
  const isHere = agentRun !== undefined || run.process?.host === deps.sandboxes.host;
  if (delivering || (isHere && deps.handover === "leave")) {
    deps.logger.info("run left to the next process on this machine", { step });
    return await writer.detach(DETACHED_MS);
  }
  deps.logger.info("run handed over: this process is shutting down", { step });
  await agentRun?.process.stop(STOP_GRACE_MS).catch(() => undefined);
  await writer.handOver();
}

/** The outcome of a run that was cancelled before there was work to deliver, or whose work could not be delivered. */
function cancelledOutcome({ agentRun, lease }: RunnerState, error: unknown): Outcome {
  const undelivered = agentRun !== undefined && error !== lease.cancelled.reason;
  const reason = undelivered
    ? `${CANCELLED} Its work could not be delivered: ${classify(error).message}`
    : CANCELLED;
  return { status: "Cancelled", reason, summary: "", usage: {} };
}

/** Whether an agent's work is in a checkout that nobody has tried to deliver, and of which no part is lost. */
function mayHoldWork({ run, agentRun, delivering }: RunnerState, error: unknown): boolean {
  if (agentRun) return !delivering && messageOf(error) !== DISK_WAS_FULL;
  return run.process !== null || error instanceof AttemptsExhausted;
}

/** Saves the work of a run that was interrupted, if it is still on this machine: it is delivered as it is. */
async function salvage(
  { deps, run, agent, agentRun, lease }: RunnerState,
  writer: RunWriter,
): Promise<WorkResult | undefined> {
  try {
    await agentRun?.process.stop(0);
    // The run may have failed before it was read, or because it could not be: then nothing leaves the sandbox unseen.
    const project = deps.project ?? (await deps.projectOf?.(run, lease.lost));
    const request = checkoutRequest({ ...deps, project }, run, writer, lease.lost);
    const held = agentRun?.sandbox.config ?? run.sbxConfig;
    const sandbox = held ? await deps.sandboxes.reopen(held, request) : undefined;
    return await sandbox?.deliverWork(commitMessage(run, agent, project?.redactor), lease.lost);
  } catch (error) {
    deps.logger.warn("the work of an interrupted run could not be saved", { error: messageOf(error) });
    return undefined;
  }
}
