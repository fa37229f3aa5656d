import { type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { eachText } from "../db/text-list.ts";

/** How many prompts of a user run. What waits with its sandbox takes nobody's slot. */
export const runningOf = (user: SQL): SQL => sql`(
  select count(*) from prompt r where r.user_id = ${user} and r.status = 'Running' and r.waiting_for is null)`;

/** Whose turn it is with an agent: a user who has a prompt that waits for it. Empty: that names none. */
export interface WaitingTurn {
  user_id: string;
  agent: string;
}

/**
 * The safety net of the rows of users: whatever has made them wrong, nobody's prompts wait for ever because of it. These
 * users' turns come, and what runs is counted anew for all of whom something runs, or is said to.
 *
 * Counted is what is locked, by the next statement: whoever has changed a prompt changes the row only before (such rows are
 * skipped, or their prompts are seen) or after this.
 */
export async function repairTurns(orm: Orm, waiting: readonly WaitingTurn[]): Promise<void> {
  const users = eachText([...new Set(waiting.map((one) => one.user_id))]);
  const turns = sql`jsonb_to_recordset(${JSON.stringify(waiting)}::text::jsonb) w (user_id text, agent text)`;
  await orm.transaction(async (tx) => {
    await tx.execute(sql`insert into user_turn (user_id) ${users} on conflict do nothing`);
    const wrong = await rowsOf<{ user_id: string }>(
      tx,
      sql`select user_id from user_turn t where user_id = any(array(
          ${users} union select user_id from user_turn where ready and running > 0
          union select user_id from prompt where status = 'Running' and waiting_for is null))
        and (not ready or running <> ${runningOf(sql`t.user_id`)}
          or exists (select 1 from agent_turn a where a.user_id = t.user_id
            and (a.running, a.started_at) is distinct from (t.running, t.started_at))
          or exists (select 1 from ${turns} where w.user_id = t.user_id and not exists (
            select 1 from agent_turn a where a.user_id = w.user_id and a.agent = w.agent and a.due_at is null)))
        for update skip locked`,
    );
    if (wrong.length === 0) return;
    const them = eachText(wrong.map(({ user_id }) => user_id));
    // A trigger copies this to their rows of agent_turn.
    await tx.execute(sql`update user_turn t set ready = true, due_at = null, running = ${runningOf(sql`t.user_id`)}
      where user_id = any(array${them})`);
    await tx.execute(sql`insert into agent_turn (user_id, agent, running, started_at)
      select distinct t.user_id, w.agent, t.running, t.started_at from ${turns} join user_turn t using (user_id)
      where t.user_id = any(array${them}) on conflict (user_id, agent) do update set due_at = null`);
  });
}
