import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { UsageDto, UsageTotals } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import type { Days, Group } from "./address.ts";
import { eachDay } from "./address.ts";

/** While the page is visible: what runs go on to spend. */
const BUDGETS_EVERY_MS = 15_000;
const USAGE_EVERY_MS = 60_000;

/** The most that the API gives at once. */
const PAGE = 500;
/** Sessions may be many more; the service would add them all up again every minute. */
const MOST_GROUPS = 10 * PAGE;

export interface Period extends Days {
  scope: "own" | "all";
}
export interface Grouped extends Period {
  group_by: Group;
}

/** The days of a period, of which the API allows fewer than a page has, with what is the sum of them. */
export const daysQuery = (period: Period) =>
  queryOptions({
    queryKey: ["usage", "day", period],
    queryFn: async ({ signal }) => {
      const [usage, total] = await Promise.all([
        client.usage.list({ ...period, group_by: "day", limit: PAGE }, { signal }),
        client.usage.total(period, { signal }),
      ]);
      return { usage: usage.data, total };
    },
    refetchInterval: USAGE_EVERY_MS,
  });

/** Page by page, since the API has them in the order of their names, and the page shows the dearest first. */
export const groupsQuery = (wanted: Grouped) =>
  queryOptions({
    queryKey: ["usage", wanted],
    queryFn: async ({ signal }) => {
      const groups: UsageDto[] = [];
      const first = await client.usage.list({ ...wanted, limit: PAGE }, { signal });
      for await (const { data, nextCursor } of first.iterPages()) {
        groups.push(...data);
        if (nextCursor !== null && groups.length >= MOST_GROUPS) return { groups, isCut: true };
      }
      return { groups, isCut: false };
    },
    refetchInterval: USAGE_EVERY_MS,
  });

export const budgetsQuery = queryOptions({
  queryKey: ["usage", "budgets"],
  queryFn: ({ signal }) => client.usage.budgets({ signal }),
  refetchInterval: BUDGETS_EVERY_MS,
});

/** @param version changes with the session's prompts. */
export const sessionUsageQuery = (id: string, version: { prompts: number; works: boolean }) =>
  queryOptions({
    queryKey: ["session", id, "usage", version],
    queryFn: ({ signal }) => client.usage.session(id, { signal }),
    refetchInterval: version.works ? BUDGETS_EVERY_MS : false,
    placeholderData: keepPreviousData,
  });

const NOTHING: UsageTotals = {
  ...{ runs: 0, turns: 0, calls: 0, estimated_calls: 0, input_tokens: 0, output_tokens: 0 },
  ...{ cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: 0 },
};

/** With the days on which nothing was used, which the API leaves out. */
export function everyDay(usage: readonly UsageDto[], days: Days): UsageDto[] {
  const known = new Map(usage.map((one) => [one.key, one]));
  return eachDay(days).map((key) => known.get(key) ?? { key, ...NOTHING });
}
