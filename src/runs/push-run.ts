import { checkoutRequest } from "./checkout-request.ts";
import { describeWork, type Outcome } from "./finish.ts";
import { Outage } from "./outages.ts";
import { requireAttempts, requireDisk } from "./requirements.ts";
import type { RunnerState } from "./runner.ts";

/**
 * Pushes what the session has to its branch: a run without an agent, so without a sandbox. Whatever became of an earlier
 * attempt, it can be repeated.
 * @throws AttemptsExhausted; Deferred while the disk is full; Outage and RepositoryError; what was aborted with.
 */
export async function pushWork({ deps, run, lease, life, writer }: RunnerState): Promise<Outcome> {
  requireAttempts(run);
  await requireDisk(deps);
  const signal = AbortSignal.any([life, lease.cancelled]);
  const work = await deps.sandboxes.push(checkoutRequest(deps, run, writer, signal), signal);
  if (work.push.pushed || work.commits === 0) return { status: "Completed", summary: "", usage: {}, work };
  const reason = describeWork(run, work);
  if (work.push.hostIsAway) throw new Outage(reason, "git_host");
  return { status: "Failed", kind: "configuration", reason, summary: "", usage: {}, undelivered: work };
}
