import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import type { Attack, Attempt, Need } from "./attack.ts";
import { failed, untried } from "./attack.ts";
import { claimFolder, removeLeftovers } from "./leftovers.ts";
import { type Has, openStage, type Stage } from "./stage.ts";
import { ATTACKS } from "./table.ts";

export interface Result {
  id: string;
  title: string;
  /** "failed": it should have been tried, and was not; nothing is known. */
  result: "blocked" | "NOT BLOCKED" | "failed" | "not applicable";
  observed: string;
  stoppedBy: string;
}

export interface CheckReport {
  /** False: this machine cannot isolate programs, and runs are refused unless ALLOW_UNISOLATED_AGENTS=1. */
  isolated: boolean;
  detail: string;
  results: readonly Result[];
}

/**
 * Attacks a sandbox from inside, with the code that runs use on this machine and with its isolation, but in a DATA_DIR of
 * its own, below the real one, and with small limits. Removes first what checks that were killed have left behind.
 * @param options.only ids; default: all of the table.
 * @param options.signal ends the check early: it cleans up and throws.
 * @throws OperatorError with exit code 2 for an id that does not exist.
 */
export async function checkSandbox(options: {
  config: Config;
  logger: Logger;
  only?: readonly string[];
  signal?: AbortSignal;
}): Promise<CheckReport> {
  const { config, logger, only, signal = new AbortController().signal } = options;
  const attacks = attacksOf(only);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  await removeLeftovers({ config, logger });
  const folder = await mkdtemp(join(config.dataDir, "check-"));
  const claim = claimFolder(folder);
  let stage: Stage | undefined;
  const interrupted = Promise.withResolvers<never>();
  // The commonest case has nobody who waits for it.
  interrupted.promise.catch(() => undefined);
  const interrupt = () => interrupted.reject(new OperatorError("sandbox-check was interrupted", 1));
  if (signal.aborted) interrupt();
  signal.addEventListener("abort", interrupt, { once: true });
  const work = async () => {
    await chmod(folder, 0o755);
    stage = await openStage(folder, { config, logger, signal });
    return attackOn(stage, attacks);
  };
  const working = work();
  try {
    return await Promise.race([working, interrupted.promise]);
  } finally {
    signal.removeEventListener("abort", interrupt);
    // Ends what runs, and with it the work.
    await stage?.close();
    await working.catch(() => undefined);
    await stage?.close();
    await claim.remove();
  }
}

function attacksOf(only: readonly string[] | undefined): readonly Attack[] {
  const unknown = only?.filter((id) => !ATTACKS.some((one) => one.id === id)) ?? [];
  if (unknown.length > 0)
    throw new OperatorError(
      `there is no attack ${unknown.join(", ")}; valid: ${ATTACKS.map(({ id }) => id).join(", ")}`,
      2,
    );
  return ATTACKS.filter(({ id }) => only?.includes(id) ?? true);
}

async function attackOn(stage: Stage, attacks: readonly Attack[]): Promise<CheckReport> {
  const { isolated, detail, has } = stage;
  if (stage.refused)
    return {
      isolated: false,
      detail,
      results: attacks.map((one) => resultOf(one, untried("runs are refused"))),
    };
  const reasons = new Map(attacks.map((one) => [one.id, reasonAgainst(one, { isolated, has })]));
  const tried = attacks.filter(({ id }) => reasons.get(id) === undefined);
  const together = tried.filter((one) => one.inside && !one.alone && !one.outside && !one.meanwhile);
  const reports =
    together.length > 0 ? await stage.tryTogether(together.map(({ id }) => id)) : new Map<string, Attempt>();
  const results: Result[] = [];
  for (const attack of attacks) {
    const reason = reasons.get(attack.id);
    const attempt =
      reason ??
      reports.get(attack.id) ??
      (await stage
        .tryAlone(attack)
        .catch((error: unknown) => failed(`the check failed: ${messageOf(error)}`)));
    const { needs } = attack;
    const lacking = attempt.blocked === false && needs !== undefined && !has[needs];
    results.push(resultOf(attack, lacking ? untried(`${LACKING[needs]} (${attempt.observed})`) : attempt));
  }
  return { isolated, detail, results };
}

/** Why an attack must not be tried here. */
function reasonAgainst(
  { harmless, needs }: Attack,
  { isolated, has }: { isolated: boolean; has: Has },
): Attempt | undefined {
  if (!isolated && !harmless) return untried("programs run on this machine itself, where it would do harm");
  // It would reach whoever listens on this machine.
  if (needs === "gateway" && !has.gateway) return untried(LACKING.gateway);
  return undefined;
}

const LACKING: Record<Need, string> = {
  memory: "this machine has no control group for memory",
  processes: "this machine has no control group for processes",
  gateway: "this machine has no network namespaces, or no socat",
};

function resultOf({ id, title, stoppedBy }: Attack, attempt: Attempt): Result {
  const { blocked, observed } = attempt;
  const unknown = attempt.failed ? "failed" : "not applicable";
  const result = blocked === null ? unknown : blocked ? "blocked" : "NOT BLOCKED";
  return { id, title, result, observed, stoppedBy };
}
