import { integer, names, oneOf, usd } from "../parsers.ts";
import { priceList } from "../price-list.ts";
import type { Rows } from "../rows.ts";

const budget = <const Name extends string>(env: Name, doc: string) => ({ env, doc, parse: usd });

/** Money is in billionths of a US dollar. */
export const spending = {
  spending: {
    budgets: {
      run: budget(
        "BUDGET_USD_PER_RUN",
        "What the model calls of one prompt may cost, US dollars, such as 5 or 0.50; its user may raise it while it waits for that. Unset: any amount.",
      ),
      session: budget("BUDGET_USD_PER_SESSION", "The same of all prompts of a session."),
      user_day: budget("BUDGET_USD_PER_USER_DAY", "The same of a user in a day (UTC)."),
      user_month: budget("BUDGET_USD_PER_USER_MONTH", "The same of a user in a calendar month (UTC)."),
      deployment_day: budget("BUDGET_USD_PER_DEPLOYMENT_DAY", "The same of all users in a day (UTC)."),
    },
    maxCalls: {
      env: "RUN_MAX_MODEL_CALLS",
      default: "2000",
      doc: "Model calls that one prompt's agent may make (1 to 1000000).",
      parse: integer(1, 1_000_000),
    },
    callsAtATime: {
      env: "MODEL_CALLS_AT_A_TIME",
      default: "200",
      doc: "Calls of one model API that the whole cluster makes at the same time; others wait, users in turn (1 to 10000).",
      parse: integer(1, 10_000),
    },
    /** Empty: all. */
    models: {
      env: "MODELS_ALLOWED",
      default: "*",
      doc: "Models that agents may call, by their names, separated by commas; an asterisk stands for any characters: claude-*,gpt-6-luna.",
      parse: names,
    },
    /** Entries beside, or instead of, the built-in ones. */
    prices: {
      env: "MODEL_PRICES",
      doc: "A JSON file of what models cost, beside the built-in table, whose entries of the same model it replaces (docs/COSTS.md).",
      parse: priceList,
    },
    unknownModels: {
      env: "MODEL_PRICES_UNKNOWN",
      default: "dearest",
      doc: "Models that are in no price table count as the dearest one there, or are refused.",
      parse: oneOf("dearest", "refuse"),
    },
  },
} as const satisfies Rows;
