export const PERIODS = [7, 30, 90] as const;
export const GROUPS = ["repo", "model", "agent", "session", "user"] as const;
export const MEASURES = ["cost", "tokens", "runs"] as const;
export type Group = (typeof GROUPS)[number];
export type Measure = (typeof MEASURES)[number];

/** Days, both included, in UTC. */
export interface Days {
  from: string;
  to: string;
}

/** What is shown, in the page's address: it can be shared and loaded again. */
export interface UsageSearch {
  from?: string | undefined;
  to?: string | undefined;
  /** The last so many days; undefined where `from` and `to` say which. */
  days?: (typeof PERIODS)[number] | undefined;
  by: Group;
  measure: Measure;
  /** all: of all users, for admins. */
  scope: "own" | "all";
}

const DAY_MS = 86_400_000;
const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** What cannot be meant is left out: addresses are typed by hand, too. */
export function readUsageSearch(search: Record<string, unknown>): UsageSearch {
  const one = <Value>(name: string, known: readonly Value[], usual: Value): Value =>
    known.find((value) => value === search[name]) ?? usual;
  const scope = one("scope", ["own", "all"] as const, "own");
  const by = one("by", GROUPS, "repo");
  const { from, to } = search;
  return {
    // The router leaves what is not named here as the address has it.
    ...(isDay(from) && isDay(to)
      ? { from, to, days: undefined }
      : { from: undefined, to: undefined, days: one("days", PERIODS, 30) }),
    // Of one user it would be one bar.
    by: by === "user" && scope === "own" ? "repo" : by,
    measure: one("measure", MEASURES, "cost"),
    scope,
  };
}

function isDay(value: unknown): value is string {
  if (typeof value !== "string" || !/^[1-9]\d{3}-\d\d-\d\d$/.test(value)) return false;
  const ms = Date.parse(value);
  // Some browsers take 30 February for 2 March.
  return Number.isFinite(ms) && day(ms) === value;
}

/** @param now milliseconds since the epoch. */
export function daysOf({ days = 30, from, to }: UsageSearch, now: number): Days {
  if (from !== undefined && to !== undefined) return { from, to };
  return { from: day(now - (days - 1) * DAY_MS), to: day(now) };
}

/** Each day of a period, in order. */
export function eachDay({ from, to }: Days): string[] {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  return Array.from({ length: Math.max(0, (last - first) / DAY_MS + 1) }, (_, at) =>
    day(first + at * DAY_MS),
  );
}
