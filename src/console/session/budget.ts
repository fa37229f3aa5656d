import type { PromptDto } from "../../../sdk/src/index.ts";
import { usdInput } from "../ui/usd.ts";

/** Whether it goes on when its user raises its budget: others begin anew by themselves. */
export const waitsForRaise = (prompt: Pick<PromptDto, "waiting_for" | "next_attempt_at">): boolean =>
  prompt.waiting_for === "budget" && prompt.next_attempt_at === null;

/** What it has cost at least: calls that were under way when it was refused are counted since. */
export const costOf = ({ usage, waiting_budget: budget }: PromptDto): number =>
  Math.max(usage?.["cost_usd"] ?? 0, budget?.scope === "run" ? (budget.spent_usd ?? 0) : 0);

/** As much again as was allowed is offered, or what the refused call alone needs, if that is more. */
export function suggestionFor(prompt: PromptDto): string {
  const { waiting_budget: budget, budget_usd: own } = prompt;
  const spent = costOf(prompt);
  const twice = Number((2 * Math.max(budget?.limit_usd ?? own ?? 0, spent)).toPrecision(3));
  const needed = budget?.scope === "run" ? spent + budget.call_usd : 0;
  if (twice >= needed) return twice === 0 ? "" : usdInput(twice);
  // Rounded to what a field can say: not below what is needed.
  const step = needed < 0.1 ? 1e9 : 100;
  return usdInput(Math.ceil(Number((needed * step).toFixed(3))) / step);
}
