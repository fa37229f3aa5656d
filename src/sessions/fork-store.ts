import { and, desc, eq, isNotNull, lte, or, type SQL, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import type { Transaction } from "../db/client.ts";
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
  await tx.insert(session).values({
    ...{ id: sessionId, userId, repo, targetBranch, branch, title, parent: original.id },
    startCommit: point.commit,
    conversationId: original.conversationId ?? original.id,
    earlierCostUsd: sql`(select (${conversationCost(ended)}) from session s where s.id = ${original.id}::uuid)`,
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

/** In one statement, so that nothing of it is purged or replaced between its parts. */
async function copyMemoryAndWork(
  tx: Transaction,
  { from, to, point }: { from: string; to: string; point: ForkPoint },
): Promise<void> {
  await tx.execute(
    sql`with memory as (
      select prompt_id, agent, files, bytes, problem from agent_memory
      where session_id = ${from}::uuid and stored_at <= ${point.endedAt}::timestamptz order by stored_at desc, id desc limit 1),
    work as (select bundle, host from unpushed_work where session_id = ${from}::uuid and ${point.commit}::text is not null),
    pieces as (
      select jsonb_array_elements_text(file -> 'chunks') as hash from memory, jsonb_array_elements(files) file
      union select jsonb_array_elements_text(bundle -> 'chunks') from work),
    copied as (
      insert into session_chunk (session_id, hash, data)
      select ${to}::uuid, c.hash, c.data from session_chunk c join pieces using (hash) where c.session_id = ${from}::uuid),
    remembered as (
      insert into agent_memory (id, session_id, prompt_id, agent, files, bytes, problem)
      select ${Bun.randomUUIDv7()}::uuid, ${to}::uuid, prompt_id, agent, files, bytes, problem from memory)
    insert into unpushed_work (session_id, commit, bundle, host)
    select ${to}::uuid, ${point.commit}, bundle, host from work`,
  );
}
