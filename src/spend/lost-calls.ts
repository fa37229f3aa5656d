import type { Orm } from "../db/client.ts";
import type { Metrics } from "../observability/metrics.ts";
import { splitLike } from "./input-bound.ts";
import { NANO } from "./money.ts";
import { costOf, NO_TOKENS, type Prices } from "./prices.ts";
import { type CallResult, type LostCall, lostCalls, settleCalls } from "./store.ts";

/**
 * Settles calls whose process has died, or whose run has gone on without them: what was known of them is counted, the rest is
 * estimated, and what was reserved for them is free again.
 * @returns how many.
 */
export async function settleLostCalls(
  orm: Orm,
  prices: Prices,
  metrics?: Pick<Metrics, "modelCall">,
): Promise<number> {
  const lost = (await lostCalls(orm)).map((call) => resultOf(call, prices));
  if (lost.length > 0) await settleCalls(orm, lost);
  for (const { api, model, status, tokens, cost } of lost) {
    const figures = { api, model: prices.label(model), status, tokens, costUsd: cost / NANO };
    metrics?.modelCall({ ...figures, firstOutputSeconds: undefined });
  }
  return lost.length;
}

function resultOf(call: LostCall, prices: Prices): CallResult {
  const { model, startedAt, inputEstimate, before } = call;
  // Zero, once its API has said what it is.
  const untold = before
    ? splitLike(before.tokens, inputEstimate, before.share)
    : { ...NO_TOKENS, input: inputEstimate };
  const tokens = inputEstimate > 0 ? { ...untold, output: call.tokens.output } : call.tokens;
  const price = prices.of(model, startedAt);
  return {
    ...{ ...call, status: "lost", httpStatus: undefined, tokens, cost: price ? costOf(price, tokens) : 0 },
    ...{ estimated: true, firstOutputMs: undefined, durationMs: undefined },
    ...{ overloaded: false, retryAfterMs: undefined },
  };
}
