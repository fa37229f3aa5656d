import type { createRegistry } from "./registry.ts";

/** Seconds to the first output of a model. */
const FIRST_OUTPUT_BUCKETS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128];

export interface ModelCallFigures {
  api: string;
  /** As the price table has it, or "other": what agents send would be any number of labels. */
  model: string;
  status: string;
  tokens: Readonly<Record<"input" | "output" | "cacheRead" | "cacheWrite" | "cacheWrite1h", number>>;
  costUsd: number;
  /** Undefined: it had no output. */
  firstOutputSeconds: number | undefined;
}

/** Why a call was not made; token: whoever asked had none of a run. */
const REFUSALS = ["invalid", "model", "budget", "calls", "ended", "busy", "unavailable", "token"] as const;
type Refusal = (typeof REFUSALS)[number];

/** The calls of models that passed this process. */
export interface SpendMetrics {
  modelCall(figures: ModelCallFigures): void;
  modelCallRefused(reason: Refusal): void;
  /**
   * @param of.budgets those that have a limit, US dollars.
   * @param of.waiting how many calls wait in this process now.
   */
  modelSpend(of: { budgets: Readonly<Record<string, number>>; waiting: () => number }): void;
}

/** `refresh` updates what is read on a scrape. */
export function createSpendMetrics({
  counter,
  gauge,
  histogram,
}: ReturnType<typeof createRegistry>): SpendMetrics & { refresh(): void } {
  const calls = counter("model_calls_total", "Model calls that ended.", "api", "model", "status");
  const tokens = counter("model_tokens_total", "Tokens of model calls, by kind.", "model", "kind");
  const cost = counter("model_cost_usd_total", "What model calls cost, in US dollars.", "model");
  const first = histogram(
    "model_first_output_seconds",
    "Time from a model call to its first output.",
    FIRST_OUTPUT_BUCKETS,
    "model",
  );
  const refused = counter(
    "model_calls_refused_total",
    "Model calls that were not made, by the reason that their agent was told.",
    "reason",
  );
  const lost = counter(
    "model_calls_lost_total",
    "Model calls that nobody ended, because who made them died: what they cost is an estimate.",
  );
  const budget = gauge("model_budget_usd", "What model calls may cost, in US dollars.", "scope");
  const queued = gauge("model_calls_waiting", "Model calls of this process that wait for their turn.");
  let waiting = () => 0;
  // A series that begins with the first event shows no increase.
  for (const reason of REFUSALS) refused.inc({ reason }, 0);
  return {
    modelCall({ api, model, status, tokens: used, costUsd, firstOutputSeconds }) {
      calls.inc({ api, model, status });
      if (status === "lost") lost.inc();
      tokens.inc({ model, kind: "input" }, used.input);
      tokens.inc({ model, kind: "output" }, used.output);
      tokens.inc({ model, kind: "cache_read" }, used.cacheRead);
      tokens.inc({ model, kind: "cache_write" }, used.cacheWrite + used.cacheWrite1h);
      cost.inc({ model }, costUsd);
      if (firstOutputSeconds !== undefined) first.observe({ model }, firstOutputSeconds);
    },
    modelCallRefused: (reason) => refused.inc({ reason }),
    modelSpend(of) {
      for (const [scope, usd] of Object.entries(of.budgets)) budget.set({ scope }, usd);
      waiting = of.waiting;
    },
    refresh: () => queued.set(waiting()),
  };
}
