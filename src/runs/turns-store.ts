import { type SQL, sql } from "drizzle-orm";
import { type Queryable, rowsOf } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { eachText } from "../db/text-list.ts";
import { agentTurn, userTurn } from "../db/turn-tables.ts";
import { isNextInSession } from "../lifecycle/dispatch.ts";

/** How many users a claim clears for an agent: several times the one that it can have left without a prompt that may start. */
const BATCH = 8;

/** Whether the whole cluster may run one more. */
export const hasRoom = (maxRunning: number): SQL => sql`
  (select count(*) from prompt where status = 'Running' and waiting_for is null) < ${maxRunning}::int`;

/** The first users whose turn it is with an agent. @param some a condition that narrows them down. */
export const firstTurns = (agent: SQL, limit: number, some = sql`true`): SQL => sql`
  select user_id from agent_turn where agent = ${agent} and due_at is null and ${some}
  order by running, started_at nulls first, user_id limit ${limit}::int`;

/** Whether there are rows to be made ready. By the least time, which is the end of an index: nothing else is read. */
export const someAreDue: SQL = sql`coalesce((select min(due_at) from agent_turn
  where due_at is not null) <= ${storedNow}, false)`;

/**
 * Makes the rows ready whose prompts waited for a time that has come. In a transaction of its own, as `clearPassed`: a claim
 * that held these rows could wait for a transaction that waits for one of them.
 */
export async function makeDueReady(orm: Queryable): Promise<void> {
  await orm.execute(sql`update ${agentTurn} t set due_at = null from (
      select user_id, agent from ${agentTurn} where due_at <= ${storedNow} for update skip locked) due
    where t.user_id = due.user_id and t.agent = due.agent`);
}

/**
 * Whether the user of `agent_turn` as `t` has a prompt for its agent that may start now, on whichever machine. The two are
 * asked apart: each is a range of an index of its own. With a limit, which keeps the planner from asking for all users at once.
 */
const hasNext = (() => {
  const among = (some: SQL) => sql`(
    select true from prompt p join session s on s.id = p.session_id
    where p.user_id = t.user_id and coalesce(p.agent, '') = t.agent and p.status = 'Queued' and ${some}
      and s.deleted_at is null and ${isNextInSession} limit 1)`;
  return sql`coalesce(${among(sql`p.not_before is null`)}, ${among(sql`p.not_before <= ${storedNow}`)}, false)`;
})();

/** The agents of whom it is somebody's turn, each by one look into the index. Also those that no worker has now. */
const everyAgent = sql`(
  with recursive every (agent) as (
    select min(agent) from agent_turn where due_at is null
    union all select (select min(agent) from agent_turn where due_at is null and agent > every.agent)
      from every where every.agent is not null)
  select agent from every where agent is not null)`;

/**
 * Clears, of the users whose turn is first with an agent, those who have no prompt for it that may start: their rows are deleted,
 * or say when one that waits for a later time is due; and all rows of those who have no unfinished prompt are deleted.
 *
 * Whatever would make a prompt able to start holds its user's row, shared with others, until it commits: such users are
 * skipped, and of the others nothing can come before this commits. It is looked for again once they are locked, because what
 * came between the first look and the lock is not seen by the statement that locks.
 */
export async function clearPassed(
  orm: Queryable,
  { maxRunning, maxRunningPerUser }: { maxRunning: number; maxRunningPerUser: number },
): Promise<void> {
  const hasSlot = sql`running < ${maxRunningPerUser}::int and ${hasRoom(maxRunning)}`;
  await orm.transaction(async (tx) => {
    const locked = await rowsOf<{ user_id: string }>(
      tx,
      sql`select user_id from ${userTurn} where user_id = any(array(
          select t.user_id from ${everyAgent} every cross join lateral (
            select every.agent, one.user_id from (${firstTurns(sql`every.agent`, BATCH, hasSlot)}) one) t
          where not ${hasNext})) for update skip locked`,
    );
    if (locked.length === 0) return;
    const users = eachText(locked.map(({ user_id }) => user_id));
    await tx.execute(sql`with looked as materialized (
        select t.user_id, t.agent, ${hasNext} as able,
          (select min(l.not_before) from prompt l where l.user_id = t.user_id and coalesce(l.agent, '') = t.agent
            and l.status = 'Queued' and l.not_before > ${storedNow}) as due_at
        from agent_turn t
        where t.user_id = any(array${users})),
      later as (update agent_turn t set due_at = looked.due_at from looked where t.user_id = looked.user_id
        and t.agent = looked.agent and not looked.able and looked.due_at is not null),
      gone as (delete from agent_turn t using looked where t.user_id = looked.user_id
        and t.agent = looked.agent and not looked.able and looked.due_at is null)
      delete from ${userTurn} t where t.user_id = any(array${users}) and (select min(u.status) from prompt u
        where u.user_id = t.user_id and u.status in ('Queued', 'Running')) is null`);
  });
}
