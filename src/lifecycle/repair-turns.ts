import { type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { eachText } from "../db/text-list.ts";

/** How many prompts of a user run. What waits with its sandbox takes nobody's slot. */
export const runningOf = (user: SQL): SQL => sql`(
  select count(*) from prompt r where r.user_id = ${user} and r.status = 'Running' and r.waiting_for is null)`;

/**
 * The safety net of the rows of users: whatever has made them wrong, nobody's prompts wait for ever because of it. These
 * users are made ready, and what runs is counted anew for all of whom something runs, or is said to.
 *
 * Counted is what is locked, by the next statement: whoever has changed a prompt changes the row only before (such rows are
 * skipped, or their prompts are seen) or after this.
 */
export async function repairTurns(orm: Orm, waiting: readonly string[]): Promise<void> {
  const users = eachText(waiting);
  await orm.transaction(async (tx) => {
    await tx.execute(sql`insert into user_turn (user_id) ${users} on conflict do nothing`);
    const wrong = await rowsOf<{ user_id: string }>(
      tx,
      sql`select user_id from user_turn t where user_id = any(array(
          ${users} union select user_id from user_turn where ready and running > 0
          union select user_id from prompt where status = 'Running' and waiting_for is null))
        and (not ready or running <> ${runningOf(sql`t.user_id`)}) for update skip locked`,
    );
    if (wrong.length === 0) return;
    const them = eachText(wrong.map(({ user_id }) => user_id));
    await tx.execute(sql`update user_turn t set ready = true, due_at = null, running = ${runningOf(sql`t.user_id`)}
      where user_id = any(array${them})`);
  });
}
