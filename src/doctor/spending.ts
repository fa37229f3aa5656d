import { createAgentCatalog } from "../agents/catalog.ts";
import type { Config } from "../config/config.ts";
import { modelSources } from "../runs/model-sources.ts";
import { isAllowed } from "../spend/meter.ts";
import { usdText } from "../spend/money.ts";
import { BUILT_IN_DAY, costOf, NO_TOKENS } from "../spend/prices.ts";
import { type Spend, spendRules } from "../spend/spend.ts";
import type { Scope } from "../spend/store.ts";
import { type Finding, type Found, ok, warn } from "./finding.ts";

const DAY_MS = 86_400_000;
/** Vendors change their prices, and have new models, a few times a year. */
const OLD_DAYS = 183;
/** What agents let a model answer with at most in one call; most allow 32000 or more. */
const ANSWER_TOKENS = 32_000;

const NAMES: Readonly<Record<Scope, string>> = {
  run: "BUDGET_USD_PER_RUN",
  session: "BUDGET_USD_PER_SESSION",
  user_day: "BUDGET_USD_PER_USER_DAY",
  user_month: "BUDGET_USD_PER_USER_MONTH",
  deployment_day: "BUDGET_USD_PER_DEPLOYMENT_DAY",
};
/** The first is part of the second. */
const PARTS: readonly (readonly [Scope, Scope])[] = [
  ["run", "session"],
  ["run", "user_day"],
  ["run", "user_month"],
  ["run", "deployment_day"],
  ["user_day", "user_month"],
  ["user_day", "deployment_day"],
];

/** Whether what models cost is known and limited. @param now for the age of the built-in prices. */
export function spendingFindings(config: Config, now = new Date()): Finding[] {
  if (Object.values(modelSources(config)).every((source) => source === undefined))
    return [{ check: "costs", ...ok("no model API has a key: nothing costs money") }];
  const rules = spendRules(config);
  const models = namedModels(config);
  return [
    { check: "budgets", ...budgetsFound(rules, models) },
    { check: "models allowed", ...allowedFound(rules, models) },
    { check: "prices", ...pricesFound(config, rules, models, now) },
  ];
}

interface NamedModel {
  model: string;
  /** Where it is named. */
  by: string;
}

/** Models that the configuration names. What else agents use, or prompts name, only a run shows. */
function namedModels(config: Config): NamedModel[] {
  const { anthropicApiKey, claudeModel, titleModel } = config;
  const listed = createAgentCatalog({ config })
    .list()
    .flatMap(({ name, models }) => models.map((model) => ({ model, by: `the agent ${name}` })));
  return [
    ...(anthropicApiKey ? [{ model: titleModel, by: "TITLE_MODEL" }] : []),
    ...(claudeModel === undefined ? [] : [{ model: claudeModel, by: "CLAUDE_MODEL" }]),
    ...listed,
    // The program makes a name of an alias, such as sonnet.
  ].filter(({ model }) => /\d/.test(model));
}

function budgetsFound({ limits, mostCalls, prices }: Spend["rules"], models: readonly NamedModel[]): Found {
  const set = (Object.keys(NAMES) as Scope[]).flatMap((scope) => {
    const most = limits[scope];
    return most === undefined ? [] : [{ scope, most, text: `${NAMES[scope]} (${usdText(most)})` }];
  });
  if (set.length === 0)
    return warn(
      `none is set: what agents spend is limited by RUN_MAX_MODEL_CALLS (${mostCalls}) alone`,
      "set BUDGET_USD_PER_DEPLOYMENT_DAY and BUDGET_USD_PER_RUN (docs/COSTS.md)",
    );
  const of = (scope: Scope) => set.find((one) => one.scope === scope);
  const useless = PARTS.flatMap(([part, whole]) => {
    const [one, other] = [of(part), of(whole)];
    return one && other && one.most > other.most
      ? [`${one.text} is more than ${other.text}, which is used up first`]
      : [];
  });
  const [least] = set.toSorted((one, other) => one.most - other.most);
  const small = models.flatMap(({ model, by }) => {
    const price = by === "TITLE_MODEL" ? undefined : prices.of(model, new Date());
    const cost = price && costOf(price, { ...NO_TOKENS, output: Math.min(ANSWER_TOKENS, price.max_output) });
    return least && cost !== undefined && cost > least.most
      ? [
          `${least.text} is less than one long answer of ${model} may cost (${usdText(cost)}): its calls are refused`,
        ]
      : [];
  });
  const mistakes = [...useless, ...small];
  return mistakes.length > 0
    ? warn(mistakes.join("\n"), "change them (docs/COSTS.md)")
    : ok(set.map(({ text }) => text).join(", "));
}

function allowedFound({ models: patterns, prices }: Spend["rules"], models: readonly NamedModel[]): Found {
  const refused = models.filter(({ model }) => !isAllowed(model, patterns));
  const idle = patterns.filter(
    (pattern) =>
      !pattern.includes("*") && !prices.knows(pattern) && !models.some(({ model }) => model === pattern),
  );
  const mistakes = [
    ...refused.map(({ model, by }) => `MODELS_ALLOWED does not allow ${model} of ${by}`),
    ...idle.map((pattern) => `${pattern} of MODELS_ALLOWED is no model that has a price`),
  ];
  return mistakes.length > 0
    ? warn(mistakes.join("\n"), "change MODELS_ALLOWED, or what names the model")
    : ok(patterns.join(", "));
}

function pricesFound(
  { spending: { prices: own = [], unknownModels } }: Config,
  { prices }: Spend["rules"],
  models: readonly NamedModel[],
  now: Date,
): Found {
  const days = Math.floor((now.getTime() - Date.parse(BUILT_IN_DAY)) / DAY_MS);
  const table = `built-in table of ${BUILT_IN_DAY}${own.length > 0 ? `, and ${own.length} of MODEL_PRICES` : ""}`;
  const unknown = models.filter(({ model }) => !prices.knows(model));
  const then = unknownModels === "refuse" ? "its calls are refused" : "it counts as the dearest that has one";
  const mistakes = [
    ...unknown.map(({ model, by }) => `${model} of ${by} has no price: ${then}`),
    ...(days > OLD_DAYS ? [`the built-in prices are ${days} days old`] : []),
  ];
  return mistakes.length > 0
    ? warn(mistakes.join("\n"), "upgrade, or give what models cost now by MODEL_PRICES (docs/COSTS.md)")
    : ok(table);
}
