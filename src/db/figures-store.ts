import { sql } from "drizzle-orm";
import type { DomainFigures } from "../observability/metrics.ts";
import { type Orm, rowsOf } from "./client.ts";

/** A scrape does not wait for a database that hangs, milliseconds. */
const TIMEOUT_MS = 3_000;

/** The figures of the whole deployment, in one statement on partial indexes. @throws while the database is away. */
export async function readFigures(orm: Orm): Promise<DomainFigures> {
  const asked = rowsOf<Record<string, string | number | null>>(
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
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error("the database did not answer in time")), TIMEOUT_MS).unref();
  });
  const [row = {}] = await Promise.race([asked, late]);
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
