import type { Exhausted } from "../agents/model-proxy.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Suspension } from "../lifecycle/transitions.ts";
import { resetOf } from "../spend/periods.ts";
import type { Limit } from "./limits.ts";

/**
 * How a run waits whose budget is used up. @returns undefined: it does not. What a session may have, only its operator can raise.
 * @param exhausted see RunGateway.
 */
export function suspensionOf(
  { attempt }: Pick<ClaimedRun, "attempt">,
  { reason }: Limit,
  exhausted: AbortSignal | undefined,
): Suspension | undefined {
  const { scope } = (exhausted?.reason ?? {}) as Partial<Exhausted>;
  if (scope === undefined || scope === "session") return undefined;
  const now = new Date();
  const until = resetOf(scope, now);
  const what = until
    ? `It goes on at ${until.toISOString().slice(0, 10)} 00:00 UTC.`
    : "It goes on when its user raises the budget.";
  return { failure: { attempt, at: now.toISOString(), kind: "limit", error: `${reason} ${what}` }, until };
}
