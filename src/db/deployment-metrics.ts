import { sql } from "drizzle-orm";
import type { DeploymentMetrics, ReadDeployment } from "../observability/deployment-gauges.ts";
import { withTimeout } from "../shared/time.ts";
import { type Database, type Orm, rowsOf } from "./client.ts";
import { effectsLag } from "./due-effects.ts";
import { modelApi } from "./spend-tables.ts";

/** How long a scrape waits for the database. */
const READ_TIMEOUT_MS = 2_000;

/** Held by the process that exports the deployment's metrics. */
const EXPORTER_LOCK = 7_331_051n;

/**
 * Reads, for a scrape, the duration of a trivial query and, in the process that exports them, the deployment's metrics.
 * @throws when the database is unavailable or does not answer within 2 s.
 */
export function readForScrape(database: Pick<Database, "orm" | "leads">): ReturnType<ReadDeployment> {
  const { orm } = database;
  const read = async () => {
    const started = performance.now();
    await orm.execute(sql`select 1`);
    const roundTrip = (performance.now() - started) / 1000;
    const exports = await database.leads(EXPORTER_LOCK);
    return { roundTrip, deployment: exports ? await readDeploymentMetrics(orm) : undefined };
  };
  return withTimeout(READ_TIMEOUT_MS, read(), "the database did not answer in time");
}

/**
 * Reads the state of the whole deployment, in one statement on partial indexes. A run that waits with its sandbox is not
 * running, until it is overdue: the alert PromptsStuck compares what is running with what processes run.
 */
async function readDeploymentMetrics(orm: Orm): Promise<DeploymentMetrics> {
  const [row = {}] = await rowsOf<Record<string, string | number | null>>(
    orm,
    sql`select
      (select count(*) from prompt where status = 'Queued') as queued,
      (select count(*) from prompt where status = 'Running'
        and (waiting_for is null or waiting_for = 'permission' or lease_expires_at <= now())) as running,
      (select extract(epoch from now() - greatest(created_at, not_before)) from prompt p
        where status = 'Queued' and greatest(created_at, not_before) <= now() and not exists (
          select 1 from prompt e where e.session_id = p.session_id and e.seq < p.seq
            and e.status in ('Queued', 'Running'))
        order by greatest(created_at, not_before) limit 1) as oldest,
      (select json_object_agg(cause, count)::text from (
        select waiting ->> 'for' as cause, count(*) from session where waiting is not null group by 1) w) as waiting,
      (select count(*) from outbox where published_at is null and next_attempt_at <= now()) as pending,
      (select extract(epoch from now() - min(created_at)) from outbox
        where published_at is null and next_attempt_at <= now()) as lag,
      (select count(*) from session where sbx_config is not null) as held,
      (select count(*) from session where sbx_config is not null
        and inbox_status not in ('Pending', 'Processing')) as returning,
      (select count(*) from pg_stat_activity where application_name like 'prompt-backend%') as connections,
      (select json_agg(e)::text from (select kind, status, count(*) from effect
        where status in ('intended', 'uncertain') group by 1, 2) e) as effects,
      ${effectsLag} as effects_lag,
      (select sum(spent) filter (where period = (now() at time zone 'utc')::date) / 1e9 from spend
        where scope = 'deployment_day') as spent_today,
      (select sum(reserved) / 1e9 from spend where scope = 'deployment_day') as reserved,
      (select json_agg(a)::text from (select m.api, coalesce(c.open, 0) as open,
        greatest(extract(epoch from m.back_off_until - now())::float8, 0) as "backOff"
        from ${modelApi} m left join (select api, count(*) as open from model_call where status = 'open' group by 1) c
          on c.api = m.api order by m.api) a) as model_apis,
      (select json_object_agg(kind, count)::text from (
        select kind, count(*) from dead_letter_queue where status = 'Pending' group by kind) d) as dead`,
  );
  const number = (name: string) => Number(row[name] ?? 0);
  return {
    prompts: { queued: number("queued"), running: number("running") },
    oldestWaiting: number("oldest"),
    waiting: JSON.parse(String(row["waiting"] ?? "{}")) as Record<string, number>,
    outboxPending: number("pending"),
    outboxLag: number("lag"),
    sandboxesHeld: number("held"),
    sandboxesReturning: number("returning"),
    deadLetters: JSON.parse(String(row["dead"] ?? "{}")) as Record<string, number>,
    effects: JSON.parse(String(row["effects"] ?? "[]")) as DeploymentMetrics["effects"],
    effectsLag: number("effects_lag"),
    modelSpend: { today: number("spent_today"), reserved: number("reserved") },
    modelApis: JSON.parse(String(row["model_apis"] ?? "[]")) as DeploymentMetrics["modelApis"],
    databaseConnections: number("connections"),
  };
}
