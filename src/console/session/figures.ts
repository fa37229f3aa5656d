import type { PromptDto } from "../../../sdk/src/index.ts";
import { duration } from "../ui/time.tsx";
import { usdOf } from "../ui/usd.ts";

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export interface Usage {
  tokensIn: number;
  tokensOut: number;
  cost: number;
}

/** What prompts have used together, as far as it was counted. */
export function usageOf(prompts: readonly Pick<PromptDto, "usage">[]): Usage {
  const sum = (name: string) => prompts.reduce((total, { usage }) => total + (usage?.[name] ?? 0), 0);
  return {
    tokensIn: sum("input_tokens"),
    tokensOut: sum("output_tokens"),
    cost: sum("cost_usd"),
  };
}

/**
 * `12.3K tokens in`, `840 out`, `$0.42 of $2.00`; what is zero was not counted.
 * @param budget what it may cost, if that is known.
 */
export const usageWords = ({ tokensIn, tokensOut, cost }: Usage, budget?: number | null): string[] => [
  ...(tokensIn > 0 ? [`${compact.format(tokensIn)} tokens in`] : []),
  ...(tokensOut > 0 ? [`${compact.format(tokensOut)} out`] : []),
  ...(cost > 0 ? [usdOf(cost, budget)] : []),
];

/** The phases and the costs of a prompt that was started. */
export function figuresOf({ phases, usage, budget_usd: budget }: PromptDto): string[] {
  const times = phases.flatMap(({ name, started_at: from }, index) => {
    const until = phases[index + 1]?.started_at;
    return until === undefined ? [] : [`${name} ${duration(Date.parse(until) - Date.parse(from))}`];
  });
  return [...times, ...usageWords(usageOf([{ usage }]), budget)];
}
