import { sql } from "drizzle-orm";
import { isBrokenQuestion, MOST_QUESTIONS, type Talk, talkIn } from "../agents/talk.ts";
import { type Orm, rowsOf, type Transaction } from "../db/client.ts";
import { type Fence, LeaseLost } from "../lifecycle/fence.ts";
import { followQuestions, notifyMail } from "../lifecycle/questions.ts";
import { appendRows, type NewMessage, type Progress } from "./append-store.ts";

/** Questions of a run that may be open at once: more are denied. */
const MOST_OPEN = 20;
const TOO_MANY = `Denied without asking: the agent has ${MOST_OPEN} open questions already.`;

/** Whether an event has to be stored with what it says. */
export const isTalk = (event: unknown): boolean => isBrokenQuestion(event) || talkIn(event) !== undefined;

interface Question {
  id: string;
  talk: Extract<Talk, { kind: "question" }>;
  denied: boolean;
}

/**
 * Appends events with what they ask and answer, in one transaction under the run's fence: a question is an event and a row,
 * and never the one without the other. One that was asked before, or that nobody could answer, is neither. Repeating it
 * changes nothing. @throws LeaseLost
 */
export async function appendTalk(
  orm: Orm,
  run: Fence,
  batch: { rows: readonly NewMessage[]; progress: Progress; timeoutMs: number },
): Promise<void> {
  const { rows, progress, timeoutMs } = batch;
  await orm.transaction(async (tx) => {
    const [held] = await rowsOf<{
      session_id: string;
      output_offset: string;
      asked: string[];
      open: number;
      most: number;
    }>(
      tx,
      sql`with lease as (
        select id, session_id, output_offset, redone from prompt where id = ${run.promptId}::uuid
          and lease_epoch = ${run.epoch}::bigint and status = 'Running' for no key update)
      select l.session_id, l.output_offset::text,
        (select coalesce(jsonb_agg(q.request_id), '[]') from permission_request q where q.prompt_id = l.id) as asked,
        (select count(*)::int from permission_request q where q.prompt_id = l.id and q.status = 'pending') as open,
        (l.redone + 1) * ${MOST_QUESTIONS}::int as most
      from lease l`,
    );
    if (!held) throw new LeaseLost();
    // An earlier attempt, whose answer was lost.
    if (Number(held.output_offset) === progress.to) return;
    // Of all its attempts: the agent of each has counted its own.
    const asked = new Set(held.asked);
    let { open } = held;
    const questions: Question[] = [];
    const closed: string[] = [];
    const steered: string[] = [];
    const events = await withUserWords(tx, run.promptId, rows);
    const kept = events.filter(({ data }) => {
      const talk = talkIn(data);
      if (talk === undefined) return !isBrokenQuestion(data);
      if (talk.kind === "steered") steered.push(talk.steerId);
      if (talk.kind === "answered") closed.push(talk.requestId);
      if (talk.kind !== "question") return true;
      if (asked.has(talk.requestId) || asked.size >= held.most) return false;
      asked.add(talk.requestId);
      questions.push({ id: Bun.randomUUIDv7(), talk, denied: open >= MOST_OPEN });
      open += 1;
      return true;
    });
    await appendRows(tx, run, kept, progress);
    const about = { promptId: run.promptId, sessionId: held.session_id };
    if (questions.length > 0) await tx.execute(insertion({ ...about, questions, timeoutMs }));
    // What it closes without an answer of its user, it withdraws, whatever it says.
    if (closed.length > 0)
      await tx.execute(sql`update permission_request set status = 'cancelled', answered_at = now(),
          delivered_at = now(), updated_at = now()
        where prompt_id = ${run.promptId}::uuid and status = 'pending' and request_id in (${uuids(closed)})`);
    if (steered.length > 0) await tx.execute(taken(run.promptId, steered));
    await followQuestions(tx, run.promptId);
    if (questions.some(({ denied }) => denied)) await notifyMail(tx, run.promptId);
  });
}

/**
 * What an agent has taken is stored with its user's words, not the agent's; what nobody has said, or it had taken before,
 * does not name a message.
 */
async function withUserWords(tx: Transaction, promptId: string, rows: readonly NewMessage[]) {
  const said = rows.flatMap(({ data }) => {
    const talk = talkIn(data);
    return talk?.kind === "steered" ? [talk.steerId] : [];
  });
  if (said.length === 0) return rows;
  const pending = await rowsOf<{ id: string; text: string }>(
    tx,
    sql`select id, text from steer where prompt_id = ${promptId}::uuid and status = 'pending' and id in (${uuids(said)})`,
  );
  const words = new Map(pending.map(({ id, text }) => [id, text]));
  return rows.map((row): NewMessage => {
    const talk = talkIn(row.data);
    if (talk?.kind !== "steered") return row;
    const text = words.get(talk.steerId);
    words.delete(talk.steerId);
    const { steer_id, ...others } = row.data as Record<string, unknown>;
    if (text === undefined) return { ...row, data: others };
    const message = { role: "user", content: [{ type: "text", text }] };
    return { ...row, data: { ...others, steer_id, message } };
  });
}

const uuids = (ids: readonly string[]) =>
  sql`select value::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::jsonb)`;

const insertion = (one: {
  promptId: string;
  sessionId: string;
  timeoutMs: number;
  questions: readonly Question[];
}) => {
  const { promptId, sessionId, timeoutMs, questions } = one;
  const all = questions.map(({ id, talk, denied }) => ({ id, ...talk, denied }));
  return sql`insert into permission_request
      (id, request_id, prompt_id, session_id, tool, input, title, expires_at, status, answered_at, reason)
    select (q ->> 'id')::uuid, (q ->> 'requestId')::uuid, ${promptId}::uuid, ${sessionId}::uuid, q ->> 'tool',
      q -> 'input', q ->> 'title', now() + ${timeoutMs}::float8 * interval '1 millisecond',
      case when (q ->> 'denied')::boolean then 'denied' else 'pending' end,
      case when (q ->> 'denied')::boolean then now() end,
      case when (q ->> 'denied')::boolean then ${TOO_MANY}::text end
    from jsonb_array_elements(${JSON.stringify(all)}::jsonb) q`;
};

/** What its user said is a turn of the conversation once the agent has taken it: with the user's words, not the agent's. */
const taken = (promptId: string, ids: readonly string[]) => sql`
  with taken as (
    update steer set status = 'delivered', delivered_at = now(), updated_at = now()
    where prompt_id = ${promptId}::uuid and status = 'pending' and id in (${uuids(ids)})
    returning id, session_id, text)
  update session s set updated_at = now(), messages = s.messages || (
    select jsonb_agg(jsonb_build_object('role', 'user', 'content', t.text, 'prompt_id', ${promptId}::text,
      'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by t.id) from taken t)
  where s.id = (select min(session_id::text)::uuid from taken)`;

/** What the mailbox of a run's agent is to have. */
export interface Mail {
  answers: { id: string; request_id: string; status: string; reason: string | null; tool: string }[];
  steers: { id: string; text: string; at_ms: string }[];
}

/** Answers that are read at once. */
export const ANSWERS = 100;

/** @param all also the messages that were written already, in case that was into another sandbox. */
export async function readMail(orm: Orm, promptId: string, all: boolean): Promise<Mail> {
  const answers = await rowsOf<Mail["answers"][number]>(
    orm,
    sql`select id, request_id, status, reason, tool from permission_request
      where prompt_id = ${promptId}::uuid and status not in ('pending', 'cancelled') and delivered_at is null
      order by id limit ${ANSWERS}::int`,
  );
  // Later, so that what was said before an answer is read with it.
  const steers = await rowsOf<Mail["steers"][number]>(
    orm,
    sql`select id, text, (extract(epoch from created_at) * 1000)::bigint::text as at_ms from steer
      where prompt_id = ${promptId}::uuid and status = 'pending' and (${all}::boolean or written_at is null) order by id`,
  );
  return { answers, steers };
}

/** Records what is in the mailbox. @throws LeaseLost */
export async function markDelivered(orm: Orm, run: Fence, mail: Mail): Promise<void> {
  const marked = await rowsOf(
    orm,
    sql`with lease as (select id from prompt where id = ${run.promptId}::uuid and lease_epoch = ${run.epoch}::bigint
        and status = 'Running' for no key update),
    answered as (update permission_request q set delivered_at = now(), updated_at = now() from lease
      where q.prompt_id = lease.id and q.delivered_at is null and q.id in (${uuids(mail.answers.map(({ id }) => id))})),
    written as (update steer t set written_at = now(), updated_at = now() from lease
      where t.prompt_id = lease.id and t.id in (${uuids(mail.steers.map(({ id }) => id))}))
    select id from lease`,
  );
  if (marked.length === 0) throw new LeaseLost();
}

/** How long questions of a prompt were open in the last `ageMs` milliseconds: the time that its agent waited. */
export async function waitedMs(orm: Orm, promptId: string, ageMs: number): Promise<number> {
  const spans = await rowsOf<{ since: string; until: string }>(
    orm,
    sql`select (extract(epoch from asked_at) * 1000)::bigint::text as since,
        (extract(epoch from coalesce(answered_at, now())) * 1000)::bigint::text as until
      from permission_request where prompt_id = ${promptId}::uuid
        and asked_at >= now() - ${ageMs}::float8 * interval '1 millisecond' order by asked_at`,
  );
  let total = 0;
  let end = 0;
  for (const span of spans) {
    const [since, until] = [Math.max(Number(span.since), end), Number(span.until)];
    if (until > since) total += until - since;
    end = Math.max(end, until);
  }
  return total;
}
