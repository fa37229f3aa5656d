import { sql } from "drizzle-orm";
import type { DomainFigures } from "../observability/metrics.ts";
import { type Database, type Orm, rowsOf } from "./client.ts";

/** A scrape does not wait for a database that hangs, milliseconds. */
const TIMEOUT_MS = 2_000;

/** Of the process that shows the figures. */
const LOCK = 7_331_051n;

/**
 * For a scrape: how long the smallest query takes, and, in the one process that shows them, the deployment's figures.
 * @throws while the database is away, or does not answer in time.
 */
export async function scrape(
  database: Pick<Database, "orm" | "leads">,
): Promise<{ roundTrip: number; figures: DomainFigures | undefined }> {
  const { orm } = database;
  const asked = async () => {
    const started = performance.now();
    await orm.execute(sql`select 1`);
    const roundTrip = (performance.now() - started) / 1000;
    return { roundTrip, figures: (await database.leads(LOCK)) ? await readFigures(orm) : undefined };
  };
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("the database did not answer in time")), TIMEOUT_MS);
  try {
    return await Promise.race([asked(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The figures of the whole deployment, in one statement on partial indexes. */
export async function readFigures(orm: Orm): Promise<DomainFigures> {
  const [row = {}] = await rowsOf<Record<string, string | number | null>>(
    orm,
    sql`select
      (select count(*) from prompt where status = 'Queued') as queued,
      (select count(*) from prompt where status = 'Running') as running,
      (select extract(epoch from now() - min(greatest(created_at, not_before))) from prompt p
        where status = 'Queued' and (not_before is null or not_before <= now()) and not exists (
          select 1 from prompt e where e.session_id = p.session_id and e.seq < p.seq
            and e.status in ('Queued', 'Running'))) as oldest,
      (select count(*) from outbox where published_at is null and next_attempt_at <= now()) as pending,
      (select extract(epoch from now() - min(created_at)) from outbox
        where published_at is null and next_attempt_at <= now()) as lag,
      (select count(*) from session where sbx_config is not null) as held,
      (select count(*) from session where sbx_config is not null
        and inbox_status not in ('Pending', 'Processing')) as returning,
      (select count(*) from pg_stat_activity where application_name like 'prompt-backend%') as connections,
      (select json_object_agg(kind, count)::text from (
        select kind, count(*) from dead_letter_queue where status = 'Pending' group by kind) d) as dead`,
  );
  const figure = (name: string) => Number(row[name] ?? 0);
  return {
    prompts: { queued: figure("queued"), running: figure("running") },
    oldestWaiting: figure("oldest"),
    outboxPending: figure("pending"),
    outboxLag: figure("lag"),
    sandboxesHeld: figure("held"),
    sandboxesReturning: figure("returning"),
    deadLetters: JSON.parse(String(row["dead"] ?? "{}")) as Record<string, number>,
    databaseConnections: figure("connections"),
  };
}
