import type { Orm } from "../db/client.ts";
import { splitLike } from "./input-bound.ts";
import { costOf, NO_TOKENS, type Prices } from "./prices.ts";
import { type CallResult, type LostCall, lostCalls, settleCalls } from "./store.ts";

/**
 * Settles calls whose process has died, or whose run has gone on without them: what was known of them is counted, the rest is
 * estimated, and what was reserved for them is free again.
 * @returns how many.
 */
export async function settleLostCalls(orm: Orm, prices: Prices): Promise<number> {
  const lost = await lostCalls(orm);
  if (lost.length > 0)
    await settleCalls(
      orm,
      lost.map((call) => resultOf(call, prices)),
    );
  return lost.length;
}

function resultOf(call: LostCall, prices: Prices): CallResult {
  const { model, startedAt, inputEstimate } = call;
  // Zero, once its API has said what it is.
  const untold = call.before ? splitLike(call.before, inputEstimate) : { ...NO_TOKENS, input: inputEstimate };
  const tokens = inputEstimate > 0 ? { ...untold, output: call.tokens.output } : call.tokens;
  const price = prices.of(model, startedAt);
  return {
    ...{ ...call, status: "lost", httpStatus: undefined, tokens, cost: price ? costOf(price, tokens) : 0 },
    ...{ estimated: true, firstOutputMs: undefined, durationMs: undefined },
    ...{ overloaded: false, retryAfterMs: undefined },
  };
}
