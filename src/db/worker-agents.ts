import { lt, type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";
import { SILENT_AFTER_S } from "./heartbeats.ts";
import type { AgentReport } from "./json-columns.ts";
import { workerAgent } from "./service-tables.ts";

/** For so long it is known that a worker had an agent, seconds. */
const REMEMBERED_S = 86_400;

/** A row of worker_agent, as `w`, is of a worker that is alive. */
const isAlive = sql`exists (select 1 from task_heartbeat h where h.process = w.process and h.task = 'prompt-runner'
  and h.beaten_at > now() - make_interval(secs => ${SILENT_AFTER_S}))`;

/** Whether a live worker can run the agent of this name, as its default or not. */
export const canRun = (agent: SQL, { asDefault = false } = {}): SQL => sql`exists (
  select 1 from worker_agent w where w.agent = ${agent} and (w.report -> 'available')::boolean
    and (not ${asDefault}::boolean or (w.report -> 'default')::boolean) and ${isAlive})`;

/** The names of the agents that have been reported and that live workers can run, or cannot run any more. */
export const reportedAgents = (which: "live" | "gone"): SQL => sql`
  select n.agent from (select distinct agent from worker_agent) n
  where ${which === "live" ? sql`` : sql`not`} ${canRun(sql`n.agent`)}`;

/** Writes what a process says of its agents, all of them, in place of what it has said before. */
export async function writeAgentReports(
  orm: Orm,
  {
    process,
    host,
    reports,
  }: { process: string; host: string; reports: Readonly<Record<string, AgentReport>> },
): Promise<void> {
  const rows = Object.entries(reports).map(([agent, report]) => ({
    ...{ process, agent, host, report },
    availableAt: report.available ? sql`now()` : null,
  }));
  await orm
    .insert(workerAgent)
    .values(rows)
    .onConflictDoUpdate({
      target: [workerAgent.process, workerAgent.agent],
      set: {
        report: sql`excluded.report`,
        availableAt: sql`coalesce(excluded.available_at, ${workerAgent.availableAt})`,
        reportedAt: sql`now()`,
      },
    });
}

/** Purges the reports of processes that ended more than a day ago. Those of live ones are repeated more often. */
export async function purgeOldReports(orm: Orm): Promise<void> {
  await orm
    .delete(workerAgent)
    .where(lt(workerAgent.reportedAt, sql`now() - make_interval(secs => ${REMEMBERED_S})`));
}

/** What workers say of an agent. */
export interface ReportedAgent {
  agent: string;
  report: AgentReport;
  /** Whether the worker is alive. */
  live: boolean;
  /** Whether it could run the agent within the last day. */
  had: boolean;
}

/** What all workers of the last day say, the newest last. */
export const readAgentReports = (orm: Pick<Orm, "execute">): Promise<ReportedAgent[]> =>
  rowsOf<ReportedAgent>(
    orm as Orm,
    sql`select w.agent, w.report, ${isAlive} as live,
        coalesce(w.available_at > now() - make_interval(secs => ${REMEMBERED_S}), false) as had
      from worker_agent w
      where w.reported_at > now() - make_interval(secs => ${REMEMBERED_S}) order by w.reported_at, w.process`,
  );
