import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { olderThan, PURGE_BATCH, withPurgeLock } from "../db/purge.ts";

const DAY_S = 86_400;
/** Pieces that a run has asked for within this time may be about to be named by its memory, seconds. */
const UNUSED_S = DAY_S;

/**
 * Purges a batch of what agents remembered longer than `days` ago, except each session's newest, and the pieces that only
 * these named. @returns how many; fewer than a batch when no more are left.
 */
export function purgeOldMemory(orm: Orm, days: number): Promise<number> {
  return withPurgeLock(orm, async (tx) => {
    const gone = await rowsOf<{ session_id: string }>(
      tx,
      sql`delete from agent_memory where id in (
        select m.id from agent_memory m where ${olderThan(sql`m.stored_at`, days * DAY_S)}
          and exists (select 1 from agent_memory n where n.session_id = m.session_id and n.stored_at > m.stored_at)
        order by m.stored_at limit ${PURGE_BATCH}) returning session_id`,
    );
    for (const id of new Set(gone.map(({ session_id }) => session_id)))
      await tx.execute(sql`delete from session_chunk c
        where c.session_id = ${id}::uuid and ${olderThan(sql`c.used_at`, UNUSED_S)}
          and not exists (select 1 from unpushed_work w where w.session_id = c.session_id and w.bundle -> 'chunks' ? c.hash)
          and c.hash not in (
            select jsonb_array_elements_text(file -> 'chunks')
            from agent_memory m, jsonb_array_elements(m.files) file where m.session_id = ${id}::uuid)`);
    return gone.length;
  });
}
