import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { PURGE_BATCH, withPurgeLock } from "../db/purge.ts";

const DAY_MS = 86_400_000;

/** Progress of a walk over old messages. */
export interface OldMessages {
  removed: number;
  /** The last message that was looked at; undefined: there are no more. */
  after: string | undefined;
}

/**
 * Purges the next batch of messages whose prompts ended more than `days` ago, in the order of their ids, which is that of
 * time. Only existing messages are walked over, so that a second walk costs next to nothing. Their numbers are not
 * reused: the counter is in the session, and cursors of streams stay valid.
 * @param options.after the position of the walk; "" at first.
 */
export async function purgeOldMessages(
  orm: Orm,
  { days, after }: { days: number; after: string },
): Promise<OldMessages> {
  // This machine's clock finds the candidates; the database's clock decides.
  const before = Bun.randomUUIDv7("hex", Date.now() - days * DAY_MS);
  const [row] = await withPurgeLock(orm, (tx) =>
    rowsOf<{ last: string | null; looked: number | string; removed: number | string }>(
      tx,
      sql`with page as materialized (
          select id, prompt_id from message
          where id > ${after === "" ? NIL : after}::uuid and id < ${before}::uuid order by id limit ${PURGE_BATCH}),
        gone as (delete from message where id in (
          select page.id from page join prompt p on p.id = page.prompt_id
          where p.status not in ('Queued', 'Running') and p.finished_at < now() - make_interval(days => ${days}::int))
          returning 1)
        select (select id from page order by id desc limit 1) as last, (select count(*) from page) as looked,
          (select count(*) from gone) as removed`,
    ),
  );
  return {
    removed: Number(row?.removed ?? 0),
    after: Number(row?.looked ?? 0) < PURGE_BATCH ? undefined : (row?.last ?? undefined),
  };
}

const NIL = "00000000-0000-0000-0000-000000000000";
