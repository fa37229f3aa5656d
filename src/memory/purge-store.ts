import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { olderThan, PURGE_BATCH, withPurgeLock } from "../db/purge.ts";

const DAY_S = 86_400;
/** Pieces that a run has asked for within this time may be about to be named by its memory, seconds. */
const UNUSED_S = DAY_S;

/** Progress of a walk over old memories. */
export interface OldMemories {
  removed: number;
  /** The last one that was looked at; undefined: there are no more. */
  after: { at: string; id: string } | undefined;
}

/** Before all of them. */
export const FIRST_MEMORY = { at: "-infinity", id: "00000000-0000-0000-0000-000000000000" };

/**
 * Looks at a batch of what agents remembered longer than `days` ago, and purges it, except the newest of each agent of a session, and
 * the pieces that only these named. Those newest stay for ever, so that each batch goes on where the one before it has ended.
 */
export function purgeOldMemory(
  orm: Orm,
  { days, after = FIRST_MEMORY }: { days: number; after?: OldMemories["after"] },
): Promise<OldMemories> {
  return withPurgeLock(orm, async (tx) => {
    const page = await rowsOf<{ id: string; at: string; session_id: string; gone: boolean }>(
      tx,
      sql`with page as materialized (
          select id, session_id, agent, stored_at from agent_memory m
          where (stored_at, id) > (${after.at}::timestamptz, ${after.id}::uuid) and ${olderThan(sql`m.stored_at`, days * DAY_S)}
          order by stored_at, id limit ${sql.raw(String(PURGE_BATCH))}),
        gone as (delete from agent_memory where id in (
          select page.id from page
          where exists (select 1 from agent_memory n where n.session_id = page.session_id
            and n.agent = page.agent and n.stored_at > page.stored_at))
          returning id)
        select id, session_id, stored_at::text as at, id in (select id from gone) as gone from page order by stored_at, id`,
    );
    const gone = page.filter((one) => one.gone);
    for (const id of new Set(gone.map(({ session_id }) => session_id)))
      await tx.execute(sql`delete from session_chunk c
        where c.session_id = ${id}::uuid and ${olderThan(sql`c.used_at`, UNUSED_S)}
          and not exists (select 1 from unpushed_work w where w.session_id = c.session_id and w.bundle -> 'chunks' ? c.hash)
          and c.hash not in (
            select jsonb_array_elements_text(file -> 'chunks')
            from agent_memory m, jsonb_array_elements(m.files) file where m.session_id = ${id}::uuid)`);
    const last = page.length < PURGE_BATCH ? undefined : page.at(-1);
    return { removed: gone.length, after: last && { at: last.at, id: last.id } };
  });
}
