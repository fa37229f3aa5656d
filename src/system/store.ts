import { desc, type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { SILENT_AFTER_S } from "../db/heartbeats.ts";
import { egressRequest } from "../db/safety-tables.ts";
import { taskHeartbeat } from "../db/service-tables.ts";
import { prompt } from "../db/tables.ts";
import { DETACHED } from "../lifecycle/end-run.ts";

/** The page is read every few seconds: what waits, and what has ended, is not read beyond these limits. */
export const COUNTED_TO = 10_000;
export const MAX_PROCESSES = 100;
export const MAX_RUNS = 200;
export const REFUSALS_READ = 1_000;
export const MAX_HOSTS = 100;

/** Processes by their last heartbeats, of which each task of each process has one. */
export function listProcesses(orm: Orm) {
  const { process, host, task, beatenAt } = taskHeartbeat;
  const last = sql`max(${beatenAt})`;
  return orm
    .select({
      process,
      host,
      // Not an array of PostgreSQL: its driver reads those as text.
      tasks: sql<string[]>`jsonb_agg(${task} order by ${task})`,
      lastSeenAt: last.mapWith(beatenAt),
      alive: sql<boolean>`${last} > now() - make_interval(secs => ${SILENT_AFTER_S})`,
    })
    .from(taskHeartbeat)
    .groupBy(process, host)
    .orderBy(desc(last), process)
    .limit(MAX_PROCESSES);
}

/** What runs now, by a partial index; those that nobody renews come first. */
export function listRuns(orm: Orm) {
  return orm
    .select({
      promptId: prompt.id,
      sessionId: prompt.sessionId,
      attempt: prompt.attempt,
      startedAt: prompt.startedAt,
      process: sql<string | null>`nullif(${prompt.leaseOwner}, ${DETACHED})`,
      host: sql<string | null>`${prompt.process} ->> 'host'`,
      // The check `prompt_lease`: whatever runs has one.
      leaseExpiresAt: sql`${prompt.leaseExpiresAt}`.mapWith(prompt.leaseExpiresAt) as SQL<Date>,
      waitingFor: prompt.waitingFor,
    })
    .from(prompt)
    .where(sql`${prompt.status} = 'Running'`)
    .orderBy(prompt.leaseExpiresAt, prompt.id)
    .limit(MAX_RUNS);
}

export interface QueueDepth {
  waiting: number;
  delayed: number;
  running: number;
  /** Seconds; null: nothing waits. */
  oldest: number | null;
  sandboxesHeld: number;
}

/** Each count ends at its limit, and reads the range of a partial index. */
export async function readQueue(orm: Orm): Promise<QueueDepth> {
  const counted = (rows: SQL) => sql`(select count(*) from (${rows} limit ${COUNTED_TO}::int) counted)`;
  const [row = {}] = await rowsOf<Record<string, number | string | null>>(
    orm,
    sql`with waiting as (
        select greatest(created_at, not_before) as since from prompt
        where status = 'Queued' and greatest(created_at, not_before) <= ${storedNow}
        limit ${COUNTED_TO}::int)
      select (select count(*) from waiting) as waiting,
        (select extract(epoch from now() - min(since)) from waiting) as oldest,
        ${counted(sql`select 1 from prompt where status = 'Queued' and greatest(created_at, not_before) > ${storedNow}
          union all select 1 from prompt where status = 'Running' and waiting_for is not null`)} as delayed,
        ${counted(sql`select 1 from prompt where status = 'Running' and waiting_for is null`)} as running,
        ${counted(sql`select 1 from session where sbx_config is not null`)} as held`,
  );
  const number = (name: string) => Number(row[name] ?? 0);
  return {
    waiting: number("waiting"),
    delayed: number("delayed"),
    running: number("running"),
    oldest: row["oldest"] == null ? null : Math.floor(number("oldest")),
    sandboxesHeld: number("held"),
  };
}

/** The last refused hosts. Of each run, host and port there is one row, so that a host can have many. */
export function listRefusedHosts(orm: Orm) {
  const newest = orm
    .select()
    .from(egressRequest)
    .where(sql`${egressRequest.decision} = 'refused'`)
    .orderBy(desc(egressRequest.lastAt))
    .limit(REFUSALS_READ)
    .as("newest");
  const last = sql`max(${newest.lastAt})`;
  return orm
    .select({
      host: newest.host,
      port: newest.port,
      count: sql`sum(${newest.count})`.mapWith(Number),
      lastAt: last.mapWith(egressRequest.lastAt),
      sessionId: sql<string>`(array_agg(${newest.sessionId} order by ${newest.lastAt} desc))[1]`,
    })
    .from(newest)
    .groupBy(newest.host, newest.port)
    .orderBy(desc(last), newest.host, newest.port)
    .limit(MAX_HOSTS);
}
