import { and, desc, eq, isNotNull, lte, or, type SQL, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import type { Transaction } from "../db/client.ts";
import type { PromptChoice } from "../db/json-columns.ts";
import { prompt, session } from "../db/tables.ts";
import { conversationCost } from "../lifecycle/conversation-cost.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { branchOf, normalizeTitle } from "./naming.ts";

/** The session that is forked. */
type Original = typeof session.$inferSelect;

/** Where it is forked: the end of a prompt. */
interface ForkPoint {
  promptId: string;
  /** In ISO 8601. */
  endedAt: string;
  /** The tip of the branch then; null: it had no work yet. */
  commit: string | null;
}

/**
 * A new session that goes on from the end of a prompt of another one: from its commit, on a branch of its own, with the
 * conversation and what the agent remembered then. The original and the fork share nothing that either could change.
 * @param wanted.promptId default: the prompt that has ended last. @param wanted.title default: `Fork of`, and the original's.
 * @throws AppError `session_not_found`, `prompt_not_found`, `prompt_unfinished`, `commit_unknown`.
 */
export async function forkSession(
  tx: Transaction,
  wanted: {
    userId: string;
    sessionId: string;
    promptId?: string | undefined;
    title?: string | undefined;
    branchPrefix: string;
  },
): Promise<{ sessionId: string }> {
  const { userId, branchPrefix } = wanted;
  const [original] = await tx.select().from(session).where(ownedSessionById(userId, wanted.sessionId));
  if (!original) throw notFound("session", wanted.sessionId);
  const point = await readPoint(tx, original, wanted.promptId);
  const { repo, targetBranch } = original;
  const sessionId = Bun.randomUUIDv7();
  const title = wanted.title ?? normalizeTitle(`Fork of ${original.title}`);
  const branch = branchOf(title, branchPrefix);
  // What is read here is history, so that runs of the original that end meanwhile make no difference.
  const ended = (table: SQL) => sql`${table}.finished_at <= ${point.endedAt}::timestamptz`;
  // Agents report the cost of their own conversations.
  const counts = (table: SQL) => sql`${ended(table)} and (${table}.agent is null or ${table}.agent = (
    select l.agent from prompt l where l.session_id = s.id and l.kind = 'agent' and ${ended(sql`l`)}
    order by l.seq desc limit 1))`;
  await tx.insert(session).values({
    ...{ id: sessionId, userId, repo, targetBranch, branch, title, parent: original.id },
    startCommit: point.commit,
    choice: await choiceAt(tx, original, point),
    conversationId: original.conversationId ?? original.id,
    earlierCostUsd: sql`(select (${conversationCost(counts)}) from session s where s.id = ${original.id}::uuid)`,
    // Turns of prompts that are not the original's are from what it was itself forked from.
    messages: sql`(select coalesce(jsonb_agg(turn order by place), '[]'::jsonb)
      from session s, jsonb_array_elements(s.messages) with ordinality as turns (turn, place)
      left join prompt p on p.id = (turn ->> 'prompt_id')::uuid and p.session_id = ${original.id}::uuid
      where s.id = ${original.id}::uuid and (p.id is null or ${ended(sql`p`)}))`,
  });
  await copyMemoryAndWork(tx, { from: original.id, to: sessionId, point });
  await recordAudit(tx, {
    actor: userId,
    action: "session.fork",
    target: `session:${sessionId}`,
    detail: { repo, branch, target_branch: targetBranch, session: original.id, prompt: point.promptId },
  });
  return { sessionId };
}

async function readPoint(tx: Transaction, original: Original, promptId?: string): Promise<ForkPoint> {
  const own = eq(prompt.sessionId, original.id);
  const [last] = await tx
    .select({ id: prompt.id, status: prompt.status, endedAt: prompt.finishedAt })
    .from(prompt)
    .where(and(own, promptId === undefined ? isNotNull(prompt.finishedAt) : eq(prompt.id, promptId)))
    .orderBy(desc(prompt.finishedAt))
    .limit(1);
  if (!last && promptId !== undefined) throw notFound("prompt", promptId);
  if (!last?.endedAt)
    throw new AppError(
      "prompt_unfinished",
      last
        ? `The prompt is ${last.status}: a session can be forked where a prompt has ended. Wait for its end, or choose an earlier one.`
        : "No prompt of this session has ended yet, so that there is nothing to fork. Wait for the end of its first one.",
    );
  const [done] = await tx
    .select({ commit: prompt.commit })
    .from(prompt)
    .where(
      and(
        own,
        or(isNotNull(prompt.commit), eq(prompt.status, "Completed")),
        lte(prompt.finishedAt, last.endedAt),
      ),
    )
    .orderBy(desc(prompt.finishedAt))
    .limit(1);
  const commit = done ? done.commit : original.startCommit;
  // It was completed before commits were recorded.
  if (done && commit === null)
    throw new AppError(
      "commit_unknown",
      "prompt_id: what the branch had after this prompt is not known; send another prompt, and fork the session after that.",
    );
  return { promptId: last.id, endedAt: last.endedAt.toISOString(), commit };
}

/**
 * What the fork's first prompt goes on with: what the newest one of then had. Its agent only if the user chooses agents: the
 * default of then may be another one by now.
 */
async function choiceAt(
  tx: Transaction,
  { id, choice }: Original,
  { endedAt }: ForkPoint,
): Promise<PromptChoice | null> {
  const { agent, model, mode } = prompt;
  const [then] = await tx
    .select({ agent, model, mode })
    .from(prompt)
    .where(
      and(
        eq(prompt.sessionId, id),
        eq(prompt.kind, "agent"),
        sql`${prompt.finishedAt} <= ${endedAt}::timestamptz`,
      ),
    )
    .orderBy(desc(prompt.seq))
    .limit(1);
  if (!then) return choice;
  return choice?.agent == null ? { agent: null, model: null, mode: then.mode } : then;
}

/** In one statement, so that nothing of it is purged or replaced between its parts. */
async function copyMemoryAndWork(
  tx: Transaction,
  { from, to, point }: { from: string; to: string; point: ForkPoint },
): Promise<void> {
  await tx.execute(
    sql`with memory as (
      select distinct on (agent) prompt_id, agent, files, bytes, problem, stored_at from agent_memory
      where session_id = ${from}::uuid and stored_at <= ${point.endedAt}::timestamptz order by agent, stored_at desc, id desc),
    work as (select bundle, host from unpushed_work where session_id = ${from}::uuid and ${point.commit}::text is not null),
    pieces as (
      select jsonb_array_elements_text(file -> 'chunks') as hash from memory, jsonb_array_elements(files) file
      union select jsonb_array_elements_text(bundle -> 'chunks') from work),
    copied as (
      insert into session_chunk (session_id, hash, data)
      select ${to}::uuid, c.hash, c.data from session_chunk c join pieces using (hash) where c.session_id = ${from}::uuid),
    remembered as (
      insert into agent_memory (id, session_id, prompt_id, agent, files, bytes, problem, stored_at)
      select gen_random_uuid(), ${to}::uuid, prompt_id, agent, files, bytes, problem, stored_at from memory)
    insert into unpushed_work (session_id, commit, bundle, host)
    select ${to}::uuid, ${point.commit}, bundle, host from work`,
  );
}
