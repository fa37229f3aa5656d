import type { PromptDto } from "../../../sdk/src/index.ts";
import { duration } from "../ui/time.tsx";

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dollars = new Intl.NumberFormat("en", {
  style: "currency",
  currency: "USD",
  maximumSignificantDigits: 3,
});

export interface Usage {
  tokensIn: number;
  tokensOut: number;
  cost: number;
}

/** What prompts have used together, as far as their agents have told. */
export function usageOf(prompts: readonly Pick<PromptDto, "usage">[]): Usage {
  const sum = (name: string) => prompts.reduce((total, { usage }) => total + (usage?.[name] ?? 0), 0);
  return {
    tokensIn: sum("input_tokens"),
    tokensOut: sum("output_tokens"),
    cost: sum("cost_usd"),
  };
}

/** `12.3K tokens in`, `840 out`, `$0.03`; what is zero was not told. */
export const usageWords = ({ tokensIn, tokensOut, cost }: Usage): string[] => [
  ...(tokensIn > 0 ? [`${compact.format(tokensIn)} tokens in`] : []),
  ...(tokensOut > 0 ? [`${compact.format(tokensOut)} out`] : []),
  ...(cost > 0 ? [dollars.format(cost)] : []),
];

/** The phases and the costs of a prompt that was started. */
export function figuresOf({ phases, usage }: PromptDto): string[] {
  const times = phases.flatMap(({ name, started_at: from }, index) => {
    const until = phases[index + 1]?.started_at;
    return until === undefined ? [] : [`${name} ${duration(Date.parse(until) - Date.parse(from))}`];
  });
  return [...times, ...usageWords(usageOf([{ usage }]))];
}
