import type { UsageTotals } from "../../../sdk/src/index.ts";
import { usd } from "../ui/usd.ts";
import type { Measure } from "./address.ts";

type Usage = UsageTotals;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const resetFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const count = (value: number): string => whole.format(value);
/** `512.3K`. */
export const roughly = (value: number): string => compact.format(value);
/** @param day as the API names it. */
export const dayText = (day: string): string => dayFormat.format(new Date(day));
/** In the reader's own time zone. @param at ISO 8601. */
export const resetText = (at: string): string => resetFormat.format(new Date(at));

/** `1 run`, `4 runs`. */
export const counted = (value: number, what: string): string =>
  `${count(value)} ${what}${value === 1 ? "" : "s"}`;

/** A cost; with ≈ if anything in it is estimated. */
export const costText = ({ cost_usd: cost, estimated_calls: estimated }: Usage): string =>
  estimated > 0 ? `≈ ${usd(cost)}` : usd(cost);

/** What is plotted: how much it is, as text, and as a text for scales. */
export const PLOTTED: Readonly<
  Record<
    Measure,
    {
      name: string;
      of: (usage: Usage) => number;
      text: (usage: Usage) => string;
      scale: (value: number) => string;
    }
  >
> = {
  cost: { name: "Cost", of: ({ cost_usd: cost }) => cost, text: costText, scale: usd },
  tokens: {
    name: "Tokens",
    of: tokensOf,
    text: (usage) => `${roughly(tokensOf(usage))} tokens`,
    scale: roughly,
  },
  runs: { name: "Runs", of: ({ runs }) => runs, text: ({ runs }) => counted(runs, "run"), scale: roughly },
};

function tokensOf({ input_tokens: input, output_tokens: output }: Usage): number {
  return input + output;
}

/** All that is told of a day or a group in one line. */
export const figuresText = (usage: Usage): string =>
  [
    costText(usage),
    counted(usage.runs, "run"),
    counted(usage.calls, "call"),
    `${roughly(usage.input_tokens)} tokens in`,
    `${roughly(usage.output_tokens)} out`,
    ...(usage.estimated_calls > 0 ? [`${count(usage.estimated_calls)} estimated`] : []),
  ].join(" · ");

/** The least round number that is not below any of the values: what a scale ends with. */
export function roundUp(values: readonly number[]): number {
  const most = Math.max(0, ...values);
  if (most === 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return ([1, 2, 5].find((step) => step * power >= most) ?? 10) * power;
}
