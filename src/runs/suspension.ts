import type { Exhausted } from "../agents/model-proxy.ts";
import type { Suspension } from "../lifecycle/transitions.ts";
import { NANO } from "../spend/money.ts";
import type { Limit } from "./limits.ts";
import type { RunnerState } from "./runner.ts";

/** What its user can do where waiting does not help. */
export function nextStep({ name }: Limit, { agentRun }: Pick<RunnerState, "agentRun">): string {
  if (name === "calls") return " Send a follow-up to have it go on.";
  if (name !== "budget" || refusalOf(agentRun)?.scope !== "session") return "";
  return " Only an operator can raise it (BUDGET_USD_PER_SESSION); a fork of the session has a budget of its own.";
}

/** Whether the run may wait for its budget: its user can raise it, or there is a new one in time. */
export function suspensionOf(
  { run, agentRun }: Pick<RunnerState, "run" | "agentRun">,
  limit: Limit,
): Suspension | undefined {
  const { scope, budget } = refusalOf(agentRun) ?? {};
  // What a session may have, only its operator can raise.
  if (scope === undefined || scope === "session" || !budget) return undefined;
  const { most, spent, amount, until } = budget;
  const what = until
    ? ` It goes on at ${until.toISOString().slice(0, 10)} 00:00 UTC.`
    : " It goes on when its user raises the budget.";
  const error = `${limit.reason}${what}`;
  const failure = { attempt: run.attempt, at: new Date().toISOString(), kind: "limit", error } as const;
  // What others have spent is not everybody's to know.
  const amounts = scope !== "deployment_day" && { limit_usd: most / NANO, spent_usd: spent / NANO };
  return { failure, until, budget: { scope, ...amounts, call_usd: amount / NANO } };
}

/** Because of which the agent may call its model no more. */
const refusalOf = (agentRun: RunnerState["agentRun"]) =>
  agentRun?.gateway?.exhausted.reason as Exhausted | undefined;
