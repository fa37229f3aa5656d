import type { AgentReport } from "../db/json-columns.ts";
import type { ReportedAgent } from "../db/worker-agents.ts";

/** An agent that workers have, or had within a day. */
export type FleetAgent = AgentReport & { name: string; steering: boolean; max_turns: boolean };

const UNREPORTED = "No worker that had it within the last day is running now.";

/**
 * What all workers together can run, the default first: an agent is available if a live worker has it. Of several that have
 * it, the one that has reported last says what it is, and all of them which models it has.
 * @param rows the newest last.
 */
export function fleetOf(rows: readonly ReportedAgent[]): FleetAgent[] {
  const byName = new Map<string, ReportedAgent[]>();
  for (const row of rows) byName.set(row.agent, [...(byName.get(row.agent) ?? []), row]);
  const usual = usualOf(rows);
  const agents = [...byName].map(([name, all]): FleetAgent => {
    const live = all.filter((one) => one.live);
    const able = live.filter(({ report }) => report.available);
    const shown = (able.at(-1) ?? live.at(-1) ?? all.at(-1)) as ReportedAgent;
    return {
      ...shown.report,
      name,
      steering: shown.report.steering ?? false,
      max_turns: shown.report.max_turns ?? false,
      available: able.length > 0,
      reason: able.length > 0 ? null : live.length > 0 ? shown.report.reason : UNREPORTED,
      // One without a list takes any.
      models: able.every(({ report }) => report.models.length > 0)
        ? [...new Set((able.length > 0 ? able : [shown]).flatMap(({ report }) => report.models))]
        : [],
      default: name === usual,
    };
  });
  return agents.sort((a, b) => Number(b.default) - Number(a.default) || (a.name < b.name ? -1 : 1));
}

/** The default of most live workers. */
function usualOf(rows: readonly ReportedAgent[]): string | undefined {
  const votes = new Map<string, number>();
  for (const { agent, report, live } of rows)
    if (live && report.default) votes.set(agent, (votes.get(agent) ?? 0) + 1);
  return [...votes].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))[0]?.[0];
}
