import { inArray, type SQL, sql } from "drizzle-orm";
import { type Queryable, rowsOf } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { eachText } from "../db/text-list.ts";
import { userTurn } from "../db/turn-tables.ts";
import { isNextInSession } from "../lifecycle/dispatch.ts";

/** How many users a claim clears: several times the one that it can have left without a prompt that may start. */
const BATCH = 8;

/** Whether the whole cluster may run one more. */
export const hasRoom = (maxRunning: number): SQL => sql`
  (select count(*) from prompt where status = 'Running' and waiting_for is null) < ${maxRunning}::int`;

const isDue = sql`not ${userTurn.ready} and ${userTurn.dueAt} is not null and ${userTurn.dueAt} <= ${storedNow}`;

/** Whether there are users to be made ready. By the least time, which is the end of an index: nothing else is read. */
export const someAreDue: SQL = sql`coalesce((select min(due_at) from user_turn
  where not ready and due_at is not null) <= ${storedNow}, false)`;

/**
 * Makes users ready whose prompts waited for a time that has come. In a transaction of its own, as `clearReady`: a claim
 * that held these rows could wait for a transaction that waits for one of them.
 */
export async function makeDueReady(orm: Queryable): Promise<void> {
  const due = orm
    .select({ userId: userTurn.userId })
    .from(userTurn)
    .where(isDue)
    .for("update", { skipLocked: true });
  await orm.update(userTurn).set({ ready: true, dueAt: null }).where(inArray(userTurn.userId, due));
}

/**
 * Whether a user of `user_turn` as `t` has a prompt that may start now, on whichever machine. The two are asked apart: each
 * is a range of an index of its own. With a limit, which keeps the planner from asking for all users at once.
 */
const hasNext = (() => {
  const among = (some: SQL) => sql`(
    select true from prompt p join session s on s.id = p.session_id
    where p.user_id = t.user_id and p.status = 'Queued' and ${some} and s.deleted_at is null and ${isNextInSession} limit 1)`;
  return sql`coalesce(${among(sql`p.not_before is null`)}, ${among(sql`p.not_before <= ${storedNow}`)}, false)`;
})();

/**
 * Clears `ready` of users who have no prompt that may start, and deletes the rows of those who have none that is unfinished.
 * Whatever would make a prompt able to start holds its user's row, shared with others, until it commits: such users are
 * skipped, and of the others nothing can come before this commits. It is looked for again once they are locked, because what
 * came between the first look and the lock is not seen by the statement that locks.
 */
export async function clearReady(
  orm: Queryable,
  limits: { maxRunning: number; maxRunningPerUser: number },
): Promise<void> {
  await orm.transaction(async (tx) => {
    const locked = await rowsOf<{ user_id: string }>(
      tx,
      sql`select user_id from user_turn t where user_id = any(array(
          select user_id from user_turn where ready and running < ${limits.maxRunningPerUser}::int
            and ${hasRoom(limits.maxRunning)}
          order by running, started_at nulls first, user_id limit ${BATCH}::int))
        and ready and not ${hasNext} for update skip locked`,
    );
    if (locked.length === 0) return;
    const users = eachText(locked.map(({ user_id }) => user_id));
    await tx.execute(sql`with looked as materialized (
        select t.user_id, ${hasNext} as able,
          (select min(u.status) from prompt u
            where u.user_id = t.user_id and u.status in ('Queued', 'Running')) is not null as unfinished,
          (select min(l.not_before) from prompt l
            where l.user_id = t.user_id and l.status = 'Queued' and l.not_before > ${storedNow}) as due_at
        from user_turn t
        where t.user_id = any(array${users})),
      gone as (delete from user_turn t using looked where t.user_id = looked.user_id and not looked.unfinished)
      update user_turn t set ready = false, due_at = looked.due_at from looked
      where t.user_id = looked.user_id and looked.unfinished and not looked.able`);
  });
}
