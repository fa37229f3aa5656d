import { eq, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import { rowsOf, type Transaction } from "../db/client.ts";
import { prompt } from "../db/tables.ts";
import { ownedSessionById } from "./ownership.ts";
import { countPrompt, userTurn } from "./queue-prompt.ts";
import { sessionAfter } from "./transitions.ts";

/** What its user had said to an agent is cancelled with the prompt. */
export async function cancelSteers(tx: Transaction, promptIds: readonly string[]): Promise<void> {
  if (promptIds.length === 0) return;
  await tx.execute(sql`update steer set status = 'cancelled', updated_at = now()
    where status = 'pending' and prompt_id in (select value::uuid from jsonb_array_elements_text(${JSON.stringify(promptIds)}::jsonb))`);
}

/**
 * Has a user's words said again to the agent of the prompt's next attempt: what the one of the last attempt had taken is gone with
 * it. They are a turn of the conversation again once they are taken. The caller holds the prompt's lock.
 */
export async function sayAgain(tx: Transaction, promptId: string): Promise<void> {
  await tx.execute(sql`with again as (
      update steer set status = 'pending', written_at = null, delivered_at = null, updated_at = now()
      where prompt_id = ${promptId}::uuid and status = 'delivered' returning session_id)
    update session s set updated_at = now(), messages = (
      select coalesce(jsonb_agg(turn order by place), '[]'::jsonb) from (
        select turn, place, turn ->> 'role' = 'user' and turn ->> 'prompt_id' = ${promptId} as own,
          row_number() over (partition by turn ->> 'role', turn ->> 'prompt_id' order by place) as nth
        from jsonb_array_elements(s.messages) with ordinality as turns (turn, place)) all_turns
      where not own or nth = 1)
    where s.id = (select min(session_id::text)::uuid from again)`);
}

/**
 * Makes what a user has said to an agent, and the agent has not taken before its end, into the session's next prompt, one
 * block for each. The caller has ended the prompt, holds the session's row, and dispatches the next prompt.
 */
export async function queueSteers(
  tx: Transaction,
  { promptId, sessionId, userId }: { promptId: string; sessionId: string; userId: string },
): Promise<void> {
  const id = Bun.randomUUIDv7();
  const left = await rowsOf<{ id: string; text: string }>(
    tx,
    sql`update steer set status = 'queued', updated_at = now()
      where prompt_id = ${promptId}::uuid and status = 'pending' returning id, text`,
  );
  if (left.length === 0) return;
  // Ids grow with time.
  const texts = left.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map(({ text }) => text);
  const counted = await countPrompt(tx, {
    where: ownedSessionById(userId, sessionId),
    turn: userTurn(texts.join("\n\n"), id),
    change: sessionAfter.promptQueued,
  });
  // It is deleted: nobody waits for an answer.
  if (!counted) return;
  const [ended] = await tx
    .select({
      ...{ authorName: prompt.authorName, authorEmail: prompt.authorEmail, priority: prompt.priority },
      // As what was said to: it was meant for that agent, and an agent that asks goes on asking.
      ...{ agent: prompt.agent, model: prompt.model, mode: prompt.mode },
    })
    .from(prompt)
    .where(eq(prompt.id, promptId));
  await tx.insert(prompt).values({
    ...{ id, sessionId, userId, seq: counted.seq, ...ended },
    data: texts.map((content) => ({ content, type: "text" })),
  });
  await tx.execute(
    sql`update steer set queued_prompt_id = ${id}::uuid where prompt_id = ${promptId}::uuid and status = 'queued'
      and queued_prompt_id is null`,
  );
  const entry = { actor: userId, action: "prompt.create", target: `prompt:${id}` } as const;
  await recordAudit(tx, { ...entry, detail: { session: sessionId } });
}
