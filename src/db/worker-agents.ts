import { eq, lt, type SQL, sql } from "drizzle-orm";
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

/** Writes what a process says of its agents, all of them, in place of what it has said before, and purges what that replaces. */
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
  await purgeReplaced(orm, { process, host });
}

/**
 * A worker that is restarted again and again would leave its rows each time, for a day: those of dead processes go that say
 * nothing which a later one of their machine does not say, when the agent was there last included. One that has just begun
 * has no heartbeat yet.
 */
async function purgeReplaced(orm: Orm, { process, host }: { process: string; host: string }): Promise<void> {
  await orm.execute(sql`delete from worker_agent where (process, agent) in (
    select w.process, w.agent from worker_agent w
    where w.host = ${host} and w.process <> ${process} and not ${isAlive}
      and w.reported_at < now() - make_interval(secs => ${SILENT_AFTER_S})
      and exists (select 1 from worker_agent later where later.host = w.host and later.agent = w.agent
        and later.reported_at > w.reported_at and (w.available_at is null or later.available_at >= w.available_at))
    for update skip locked)`);
}

/** Whether something is known of a process's agents: one that was suspended for long counts as dead meanwhile. */
export async function hasAgentReports(orm: Orm, process: string): Promise<boolean> {
  const rows = await orm
    .select({ process: workerAgent.process })
    .from(workerAgent)
    .where(eq(workerAgent.process, process))
    .limit(1);
  return rows.length > 0;
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
