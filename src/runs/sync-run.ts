import {
  type CheckoutRequest,
  RepositoryError,
  SYNC_STRATEGIES,
  type SyncStrategy,
  type WorkResult,
} from "../sandboxes/sandbox.ts";
import { checkoutRequest } from "./checkout-request.ts";
import { mergeMessage } from "./commit-message.ts";
import { describeWork, type Outcome } from "./finish.ts";
import { Outage } from "./outages.ts";
import { requireAttempts, requireDisk } from "./requirements.ts";
import type { RunnerState } from "./runner.ts";

/**
 * Takes the target branch into the session's work, and pushes that: a run without an agent, so without a sandbox. Whatever
 * became of an earlier attempt, it can be repeated. What could not be pushed is kept, as after any run, and that is said.
 * @throws AttemptsExhausted; Deferred while the disk is full; Outage and RepositoryError; what was aborted with.
 */
export async function syncWork(state: RunnerState): Promise<Outcome> {
  const { deps, run, lease, life, writer } = state;
  requireAttempts(run);
  await requireDisk(deps);
  const signal = AbortSignal.any([life, lease.cancelled]);
  const strategy = strategyOf(run.data);
  const work = await sync(state, strategy, checkoutRequest(deps, run, writer, signal), signal);
  // A later push would not replace the branch.
  if (strategy === "rebase" && !work.push.pushed && work.push.hostIsAway)
    throw new Outage(describeWork(run, work), "git_host");
  return { status: "Completed", summary: "", usage: {}, work };
}

async function sync(
  { deps, run }: RunnerState,
  strategy: SyncStrategy,
  request: CheckoutRequest,
  signal: AbortSignal,
): Promise<WorkResult> {
  try {
    return await deps.sandboxes.sync(request, { strategy, message: mergeMessage(run) }, signal);
  } catch (error) {
    if (!(error instanceof RepositoryError) || error.transient) throw error;
    const what = strategy === "merge" ? "merged into" : "the new base of";
    const message = `${run.targetBranch} could not be ${what} ${run.branch}: ${error.message} POST /sessions/${run.sessionId}/sync says which prompt would have the agent do it.`;
    throw new RepositoryError(message, { cause: error }, error.fault);
  }
}

/** As addSync wrote it. */
function strategyOf(data: unknown) {
  const { strategy } = data as { strategy?: unknown };
  return SYNC_STRATEGIES.find((one) => one === strategy) ?? "merge";
}
