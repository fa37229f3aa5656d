import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { NotIsolated } from "../sandboxes/sandbox.ts";
import type { PrepareDeps } from "./agent-run.ts";
import { AttemptsExhausted, Deferred, MAX_ATTEMPTS, MAX_CLAIMS } from "./failures.ts";
import { untilIsolated } from "./until-isolated.ts";
import type { RunWriter } from "./writer.ts";

const DISK_DELAY_MS = 15_000;

/**
 * Before anything is made for a run that the sandbox would refuse to start. The built-in demo may run without.
 * @throws NotIsolated
 */
export async function requireIsolation({ sandboxes, agent }: PrepareDeps): Promise<void> {
  const refusal = agent.builtIn ? undefined : await sandboxes.isolation.refusal();
  if (refusal !== undefined) throw new NotIsolated(refusal);
}

/** Waits for the same, where work would be lost if the run were postponed. @throws what `life` aborted with. */
export const awaitIsolation = (deps: PrepareDeps, writer: RunWriter, life: AbortSignal) =>
  untilIsolated(() => requireIsolation(deps), { writer, logger: deps.logger, life });

/** @throws Deferred while there is too little room for another checkout. */
export async function requireDisk({ sandboxes, limits }: PrepareDeps): Promise<void> {
  if (limits.maxCheckoutBytes > 0 && (await sandboxes.usedBytes()) > limits.maxCheckoutBytes)
    throw new Deferred(
      "Waiting: the checkouts of other runs use all the disk space they may (CHECKOUT_DISK_MB).",
      "disk",
      DISK_DELAY_MS,
    );
  if ((await sandboxes.freeBytes()) < limits.minFreeBytes)
    throw new Deferred(
      "Waiting: the disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).",
      "disk",
      DISK_DELAY_MS,
    );
}

/** Whether the prompt has no attempt left. */
export const isExhausted = ({ attempt, claims }: ClaimedRun) => attempt > MAX_ATTEMPTS || claims > MAX_CLAIMS;

/** @throws AttemptsExhausted */
export function requireAttempts(run: ClaimedRun): void {
  if (isExhausted(run)) throw new AttemptsExhausted(exhaustedMessage(run));
}

function exhaustedMessage({ attempt, claims, failures }: ClaimedRun): string {
  const last = failures.at(-1)?.error;
  if (attempt > MAX_ATTEMPTS)
    return `This prompt failed after ${MAX_ATTEMPTS} attempts: ${last ?? "its runner died each time"}`;
  const deaths = `This prompt was given up because its runner died ${claims - 1 - failures.length} times, of which the service's log tells more.`;
  return last === undefined ? deaths : `${deaths} Its last failure: ${last}`;
}
