import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { ListUsageOutput, UsageDto, UsageTotals } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import type { Days, Group } from "./address.ts";
import { eachDay } from "./address.ts";

/** While the page is visible: what runs go on to spend. */
const BUDGETS_EVERY_MS = 15_000;
const USAGE_EVERY_MS = 60_000;

export interface Wanted extends Days {
  group_by: Group | "day";
  scope: "own" | "all";
}

/** The whole list, which the API gives without a limit: the dearest come first here, and in the order of their names there. */
export const usageQuery = (query: Wanted) =>
  queryOptions({
    queryKey: ["usage", query],
    queryFn: async ({ signal }) => (await client.api.handlersUsageList({ query, signal })).data,
    refetchInterval: USAGE_EVERY_MS,
  });

export async function usageCsv(query: Wanted): Promise<string> {
  const { data } = await client.api.handlersUsageList({
    ...{ query, parseAs: "text" },
    headers: { accept: "text/csv" },
  });
  return data as unknown as string;
}

export const budgetsQuery = queryOptions({
  queryKey: ["usage", "budgets"],
  queryFn: async ({ signal }) => (await client.api.handlersUsageBudgets({ signal })).data.budgets,
  refetchInterval: BUDGETS_EVERY_MS,
});

/** @param version changes with the session's prompts. */
export const sessionUsageQuery = (id: string, version: { prompts: number; works: boolean }) =>
  queryOptions({
    queryKey: ["session", id, "usage", version],
    queryFn: async ({ signal }) => (await client.api.handlersUsageSession({ path: { id }, signal })).data,
    refetchInterval: version.works ? BUDGETS_EVERY_MS : false,
    placeholderData: keepPreviousData,
  });

const NOTHING: UsageTotals = {
  ...{ runs: 0, turns: 0, calls: 0, estimated_calls: 0, input_tokens: 0, output_tokens: 0 },
  ...{ cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0 },
};

/** With the days on which nothing was used, which the API leaves out. */
export function everyDay({ usage }: ListUsageOutput, days: Days): UsageDto[] {
  const known = new Map(usage.map((one) => [one.key, one]));
  return eachDay(days).map((key) => known.get(key) ?? { key, ...NOTHING });
}
