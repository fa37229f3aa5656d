import type { Config } from "../config/config.ts";
import type { Database } from "../db/client.ts";
import type { ModelApi } from "../db/columns.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import { createInputBound } from "./input-bound.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { createMeter, type Meter, type SpendRules } from "./meter.ts";
import { NANO } from "./money.ts";
import { openPrices } from "./prices.ts";
import type { Account } from "./store.ts";

/** What this process may spend on models, and what it has. */
export interface Spend {
  rules: SpendRules;
  ledger: Ledger;
  /** @param budget of the run, in billionths of a US dollar, if it has its own. */
  meter(of: { api: ModelApi; account: Account; budget?: number | undefined }): Meter;
}

export function spendRules({ spending }: Pick<Config, "spending">): SpendRules {
  const { budgets, maxCalls, callsAtATime, models, prices = [], unknownModels } = spending;
  const limits = Object.entries(budgets).filter(([, most]) => most !== undefined);
  return {
    prices: openPrices({ own: prices, unknown: unknownModels }),
    limits: Object.fromEntries(limits),
    ...{ mostCalls: maxCalls, mostOpen: callsAtATime, models },
  };
}

/** An API that refuses one call refuses a hundred. */
const SAID_EVERY_MS = 60_000;

/** Says that all calls of an API wait because it is overloaded, at most once a minute. */
function withOverloadsLogged(ledger: Ledger, logger: Logger): Ledger {
  const saidAt = new Map<ModelApi, number>();
  return {
    ...ledger,
    settle(call) {
      const { api, model, httpStatus, retryAfterMs, overloaded } = call;
      const now = performance.now();
      if (overloaded && now - (saidAt.get(api) ?? Number.NEGATIVE_INFINITY) >= SAID_EVERY_MS) {
        saidAt.set(api, now);
        const about = { api, model, status: httpStatus, retry_after_ms: retryAfterMs };
        logger.warn("a model API is overloaded: all calls of it wait", about);
      }
      return ledger.settle(call);
    },
  };
}

export function openSpend(options: {
  config: Pick<Config, "spending">;
  database: Pick<Database, "asyncCommit">;
  metrics: Pick<Metrics, "modelCall" | "modelCallRefused" | "modelSpend">;
  logger: Logger;
}): Spend {
  const { config, database, metrics, logger } = options;
  const rules = spendRules(config);
  const ledger = withOverloadsLogged(openLedger({ orm: database.asyncCommit, logger }), logger);
  const budgets = Object.entries(rules.limits).map(([scope, most]) => [scope, most / NANO]);
  metrics.modelSpend({ budgets: Object.fromEntries(budgets), waiting: ledger.waiting });
  return {
    rules,
    ledger,
    meter: ({ api, account, budget }) =>
      createMeter({
        ...{ api, account, rules, ledger, metrics, inputBound: createInputBound() },
        ...(budget !== undefined && { limits: { run: budget } }),
      }),
  };
}
