import type { Database } from "../../src/db/client.ts";
import { deleteHeartbeats, writeHeartbeats } from "../../src/db/heartbeats.ts";
import type { AgentReport } from "../../src/db/json-columns.ts";
import { writeAgentReports } from "../../src/db/worker-agents.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { TTL_MS } from "../harness/seed.ts";

export const report = (more: Partial<AgentReport> = {}): AgentReport => ({
  ...{ title: "An agent", version: "1.0", available: true, reason: null, models: [], modes: ["auto"] },
  ...{ memory: "none", default: false, model_api: null, max_turns: true },
  ...more,
});

/** Workers as the database knows them: each has a heartbeat and its agents, the first of which is its default. */
export function workers(database: () => Database) {
  const begin = async (process: string, reports: Record<string, Partial<AgentReport>>) => {
    const { orm } = database();
    const all = Object.entries(reports).map(([name, more], n): [string, AgentReport] => [
      name,
      report({ default: n === 0, ...more }),
    ]);
    await writeAgentReports(orm, { process, host: process, reports: Object.fromEntries(all) });
    await writeHeartbeats(orm, { process, host: process, tasks: ["prompt-runner"] });
  };
  return {
    begin,
    end: (process: string) => deleteHeartbeats(database().orm, process),
    /** What a worker with these agents claims, the first of which is its default. */
    claim: (host: string, ...agents: string[]) =>
      claimNext(database().orm, {
        ...{ owner: host, host, ttlMs: TTL_MS, maxRunning: 100, maxRunningPerUser: 100 },
        ...{ agents, ...(agents[0] !== undefined && { defaultAgent: agents[0] }) },
      }) as Promise<ClaimedRun | undefined>,
  };
}
