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

/** The calls of models that passed this process. */
export interface SpendMetrics {
  modelCall(figures: ModelCallFigures): void;
  modelCallRefused(reason: string): void;
}

export function createSpendMetrics({ counter, histogram }: ReturnType<typeof createRegistry>): SpendMetrics {
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
  return {
    modelCall({ api, model, status, tokens: used, costUsd, firstOutputSeconds }) {
      calls.inc({ api, model, status });
      tokens.inc({ model, kind: "input" }, used.input);
      tokens.inc({ model, kind: "output" }, used.output);
      tokens.inc({ model, kind: "cache_read" }, used.cacheRead);
      tokens.inc({ model, kind: "cache_write" }, used.cacheWrite + used.cacheWrite1h);
      cost.inc({ model }, costUsd);
      if (firstOutputSeconds !== undefined) first.observe({ model }, firstOutputSeconds);
    },
    modelCallRefused: (reason) => refused.inc({ reason }),
  };
}
