import { type Static, t } from "elysia";
import { MAX_PAGE } from "../api/paging.ts";
import { enumOf, NextCursor, nullable, paging, Timestamp, usd } from "../api/schemas.ts";
import { SCOPES } from "../spend/store.ts";

const GROUPS = ["day", "user", "repo", "model", "agent", "session"] as const;
export type Group = (typeof GROUPS)[number];

const count = (description: string, example: number) =>
  t.Integer({ minimum: 0, description, examples: [example] });

const figures = {
  runs: count("Prompts whose agents have called a model; titles are of none", 4),
  turns: count("Model calls that were answered", 37),
  calls: count("Model calls, answered or not", 41),
  estimated_calls: count(
    "Of these, those of which something had to be estimated: their answers broke off, or who made them died",
    1,
  ),
  input_tokens: count("Tokens of input, cached or not", 512_340),
  output_tokens: count("Tokens of output", 18_200),
  cache_read_tokens: count("Of the input, tokens that were read from a cache", 480_000),
  cache_write_tokens: count("Of the input, tokens that were written to a cache", 21_000),
  cost_usd: usd("What they cost by the price table, US dollars", 1.2345),
};

const UsageDto = t.Object({
  key: t.String({
    description:
      "The day, user, repository, model, agent or session that these are of; `(titles)`: not an agent",
    examples: ["2026-11-29"],
  }),
  ...figures,
});
export type UsageDto = Static<typeof UsageDto>;
const UsageTotals = t.Object(figures);
export type UsageTotals = Static<typeof UsageTotals>;

const BudgetDto = t.Object({
  scope: enumOf(SCOPES, {
    description: "What it is a budget of; days and months are those of UTC",
    examples: ["user_day"],
  }),
  limit_usd: usd("What model calls may cost, US dollars", 20),
  spent_usd: usd("What they have cost", 3.21),
  reserved_usd: usd("What is kept free for calls that are under way", 0.4),
  left_usd: usd("What another call may cost at most", 16.39),
  resets_at: nullable({
    ...Timestamp,
    description: "When it begins anew; null: never",
    examples: ["2026-11-30T00:00:00.000Z"],
  }),
});
export type BudgetDto = Static<typeof BudgetDto>;

export const usageModels = {
  UsageDto,
  UsageTotals,
  BudgetDto,
  ListUsageOutput: t.Object({
    usage: t.Array(UsageDto),
    total: UsageTotals,
    next_cursor: NextCursor,
  }),
  SessionUsageOutput: t.Object({
    usage: t.Array(UsageDto, { description: "By model" }),
    total: UsageTotals,
    budget: nullable(BudgetDto),
  }),
  ListBudgetsOutput: t.Object({ budgets: t.Array(BudgetDto) }),
};

const Day = (description: string, example: string) =>
  t.Optional(
    // The format alone would accept other spellings.
    t.String({
      format: "date",
      pattern: "^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$",
      description,
      examples: [example],
    }),
  );

export const usageQuery = t.Object({
  ...paging,
  limit: { ...paging.limit, description: `Page size. Default: ${MAX_PAGE}` },
  from: Day("The first day, in UTC. Default: 29 days before `to`", "2026-11-01"),
  to: Day("The last day, in UTC. Default: today", "2026-11-29"),
  group_by: t.Optional(enumOf(GROUPS, { description: "Default: day" })),
  scope: t.Optional(
    enumOf(["own", "all"], { description: "all: of all users, for the role admin. Default: own" }),
  ),
});
