import { eq, sql } from "drizzle-orm";
import { versionIn, versionTag } from "../api/etag.ts";
import { builtOnce } from "../db/built-once.ts";
import type { Orm } from "../db/client.ts";
import { isoTime, type JsonFields, jsonRow, unlessKnown } from "../db/json-rows.ts";
import { prompt, session } from "../db/tables.ts";
import { numberedList } from "../lifecycle/owned-lists.ts";
import { ownedPrompt } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";
import { NANO } from "../spend/money.ts";

const whileWaiting = (value: unknown) => sql`case when ${prompt.waitingFor} is not null then ${value} end`;
/** Of what waits for its user or for money, the session has these. */
const asked = (field: string, value: unknown) =>
  sql`case when ${prompt.waitingFor} in ('permission', 'budget') then ${session.waiting} -> ${sql.raw(`'${field}'`)} else to_jsonb(${value}) end`;
const phaseAt = (name: unknown, time: unknown) =>
  sql`jsonb_build_object('name', ${name}, 'started_at', ${time})`;

/** A prompt as clients see it: PromptDto, made by PostgreSQL. */
const promptJson = {
  id: prompt.id,
  session_id: prompt.sessionId,
  kind: prompt.kind,
  data: prompt.data,
  seq: prompt.seq,
  priority: prompt.priority,
  agent: prompt.agent,
  model: prompt.model,
  mode: prompt.mode,
  max_turns: prompt.maxTurns,
  budget_usd: sql`${prompt.budget}::double precision / ${sql.raw(String(NANO))}`,
  status: prompt.status,
  attempt: prompt.attempt,
  error: prompt.error,
  error_kind: prompt.errorKind,
  waiting_for: prompt.waitingFor,
  waiting_reason: whileWaiting(asked("reason", prompt.error)),
  waiting_since: whileWaiting(asked("since", sql`${prompt.outage} -> 'since'`)),
  // An agent comes when a machine has it; and what waits for somebody to raise its budget has a time that never comes.
  next_attempt_at: sql`case when ${prompt.waitingFor} <> 'agent' and ${prompt.notBefore} < now() + interval '50 years' then ${isoTime(prompt.notBefore)} end`,
  usage: prompt.usage,
  commit: prompt.commit,
  waiting_budget: sql`case when ${prompt.waitingFor} = 'budget' then ${session.waiting} -> 'budget' end`,
  memory: prompt.memory,
  memory_reason: prompt.memoryReason,
  phases: sql`(select coalesce(jsonb_agg(${phaseAt(sql`phase -> 'name'`, isoTime(sql`(phase ->> 'started_at')::timestamptz`))} order by place), '[]')
      from jsonb_array_elements(${prompt.phases}) with ordinality as phases (phase, place))
    || case when ${prompt.finishedAt} is null then '[]' else jsonb_build_array(${phaseAt(sql`'finished'`, isoTime(prompt.finishedAt))}) end`,
  isolation: prompt.isolation,
  project_id: prompt.projectId,
  project_version: prompt.projectVersion,
  started_at: isoTime(prompt.startedAt),
  finished_at: isoTime(prompt.finishedAt),
  created_at: isoTime(prompt.createdAt),
  updated_at: isoTime(prompt.updatedAt),
} satisfies JsonFields;

/** A session's prompts. Every change of a prompt that a client can see raises its session's version of them. */
export const listPrompts = numberedList({
  name: "prompts_list",
  owner: "session",
  of: prompt.sessionId,
  seq: prompt.seq,
  version: session.promptsVersion,
  fields: promptJson,
});

const reading = builtOnce((orm) =>
  orm
    .select({
      version: prompt.version,
      json: unlessKnown(prompt.version, jsonRow(promptJson)),
    })
    .from(prompt)
    .innerJoin(session, eq(session.id, prompt.sessionId))
    .where(ownedPrompt(sql.placeholder("userId"), sql.placeholder("id")))
    .prepare("prompt_read"),
);

/**
 * @returns the prompt's ETag, and its JSON unless it is the first of `ifNoneMatch`.
 * @throws AppError `prompt_not_found`, also where it is another user's.
 */
export async function readPrompt(
  orm: Orm,
  wanted: { userId: string; id: string; ifNoneMatch: string | null },
): Promise<{ etag: string; json: string | null }> {
  const { userId, id, ifNoneMatch } = wanted;
  const [row] = await reading(orm).execute({ id, userId, known: versionIn(ifNoneMatch, id) });
  if (!row) throw notFound("prompt", id);
  return { etag: versionTag(id, row.version), json: row.json };
}
