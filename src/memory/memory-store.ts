import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import type { MemoryFile, Turn } from "../db/json-columns.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { StateProblem } from "../sandboxes/sandbox.ts";

/** The newest turns that are read. More are never passed on. */
const MAX_TURNS = 200;

/** What the session knows before a run. */
export interface PriorMemory {
  /** What the agent remembered after the last prompt that this was stored of. Undefined: it was never stored. */
  stored: { files: MemoryFile[]; problem: StateProblem | null } | undefined;
  /** The agent that worked last, if it is another one, by what it remembered. */
  otherAgent: string | null;
  /** The turns since then of prompts that an agent has worked on, without the present prompt's; the newest ones. */
  turns: Turn[];
}

/**
 * Reads the newest memory that an agent has of a run's session, and the turns that it does not know. A prompt that was queued while another one
 * ran has its user's turn before that one's answer: a turn is known if the prompt's answer is.
 * @param options.agent its name.
 * @param options.all also the turns that the memory knows: it cannot be used.
 */
export async function readPriorMemory(
  orm: Orm,
  run: ClaimedRun,
  { agent, all = false }: { agent: string; all?: boolean },
): Promise<PriorMemory> {
  const [row] = await rowsOf<{
    known: boolean;
    other: string | null;
    files: MemoryFile[];
    problem: StateProblem | null;
    turns: Turn[] | null;
  }>(
    orm,
    sql`with newest as (
      select agent, files, problem, prompt_id from agent_memory
      where session_id = ${run.sessionId}::uuid and agent = ${agent} order by stored_at desc, id desc limit 1),
    last as (
      select agent from agent_memory where session_id = ${run.sessionId}::uuid order by stored_at desc, id desc limit 1),
    turns as (
      select turn, place, turn ->> 'prompt_id' as prompt_id
      from session s, jsonb_array_elements(s.messages) with ordinality as turns (turn, place)
      where s.id = ${run.sessionId}::uuid),
    answered as (
      select t.prompt_id from turns t left join prompt p on p.id = t.prompt_id::uuid and p.session_id = ${run.sessionId}::uuid
      where t.turn ->> 'role' = 'assistant' and t.prompt_id <> ${run.promptId}
        and (${all}::boolean or t.place > coalesce((select max(k.place) from turns k, newest
          where k.prompt_id = newest.prompt_id::text and k.turn ->> 'role' = 'assistant'), 0))
        and (p.id is null or p.memory is not null or coalesce(p.usage, '{}'::jsonb) <> '{}'::jsonb))
    select newest.agent is not null as known, newest.files, newest.problem,
      (select last.agent from last where last.agent <> ${agent}) as other,
      (select json_agg(late.turn order by late.place) from (
        select turn, place from turns where prompt_id in (select prompt_id from answered)
        order by place desc limit ${MAX_TURNS}::int) late) as turns
    from (select 1) one left join newest on true`,
  );
  const { known = false, other = null, files = [], problem = null, turns } = row ?? {};
  return { stored: known ? { files, problem } : undefined, otherAgent: other, turns: turns ?? [] };
}
