import { sql } from "drizzle-orm";
import { isRetryableDbError, type Orm, rowsOf } from "../db/client.ts";
import type { Fence } from "../lifecycle/fence.ts";
import { appendRows, type NewMessage, type Progress } from "./append-store.ts";

/** What one statement stores of several runs, characters of JSON, beside that of the first. */
const GROUP_CHARS = 1024 * 1024;

interface Append {
  run: Fence;
  rows: readonly NewMessage[];
  progress: Progress;
  /** It, as an element of the statement's parameter. */
  json: string;
  done: () => void;
  failed: (error: unknown) => void;
}

/** Of one database. */
interface Line {
  waiting: Append[];
  busy: boolean;
}

const lines = new WeakMap<Orm, Line>();

/**
 * Appends messages of a run together with those of other runs of this process: while one statement is under way, what comes in
 * waits for the next. Each commit that notifies holds a lock of PostgreSQL's, and a hundred agents that print made hundreds a
 * second of them. What a run may write is decided for each by itself, and who fails takes nobody along.
 * @throws LeaseLost
 */
export async function appendTogether(
  orm: Orm,
  run: Fence,
  rows: readonly NewMessage[],
  progress: Progress,
): Promise<void> {
  if (rows.length === 0 && progress.from === progress.to) return;
  const line = lines.get(orm) ?? { waiting: [], busy: false };
  lines.set(orm, line);
  const json = JSON.stringify({ prompt: run.promptId, epoch: run.epoch, ...progress, rows });
  await new Promise<void>((done, failed) => {
    line.waiting.push({ run, rows, progress, json, done, failed });
    if (!line.busy) void work(orm, line);
  });
}

async function work(orm: Orm, line: Line): Promise<void> {
  line.busy = true;
  while (line.waiting.length > 0) await store(orm, nextGroup(line.waiting));
  line.busy = false;
}

/** In the order in which they came. */
function nextGroup(waiting: Append[]): Append[] {
  let chars = 0;
  const end = waiting.findIndex(({ json }, n) => {
    chars += json.length;
    return n > 0 && chars > GROUP_CHARS;
  });
  return waiting.splice(0, end < 0 ? waiting.length : end);
}

/** Never rejects, and waits for no run that has to wait for others. */
async function store(orm: Orm, group: readonly Append[]): Promise<void> {
  const alone = ({ run, rows, progress, done, failed }: Append) =>
    void appendRows(orm, run, rows, progress).then(done, failed);
  try {
    const stored = await insertTogether(orm, group);
    for (const one of group)
      if (stored.has(one.run.promptId)) one.done();
      else alone(one);
  } catch (error) {
    // Where the database is away it is nobody's fault, and each run tries again.
    if (isRetryableDbError(error)) for (const { failed } of group) failed(error);
    else for (const one of group) alone(one);
  }
}

/**
 * Appends what those runs have printed that hold their lease. It waits for no lock of a prompt or a session, because it has
 * those of the others meanwhile: whose rows are locked is left out.
 * @returns the prompts whose messages are stored.
 */
async function insertTogether(orm: Orm, group: readonly Append[]): Promise<Set<string>> {
  const stored = await rowsOf<{ prompt_id: string }>(
    orm,
    sql`with wanted as (
      select (w ->> 'prompt')::uuid as prompt_id, (w ->> 'epoch')::bigint as epoch, (w ->> 'from')::bigint as since,
        (w ->> 'to')::bigint as up_to, w -> 'rows' as rows
      from jsonb_array_elements(${`[${group.map(({ json }) => json).join()}]`}::jsonb) w),
    lease as (
      select p.id as prompt_id, p.session_id, p.redone, w.up_to, w.rows, jsonb_array_length(w.rows) as count
      from wanted w join prompt p on p.id = w.prompt_id join session s on s.id = p.session_id
      where p.lease_epoch = w.epoch and p.status = 'Running' and p.output_offset = w.since
      for no key update of p, s skip locked),
    counter as (
      update session s set message_seq = s.message_seq + l.count from lease l where s.id = l.session_id
      returning s.id, s.message_seq - l.count as base, l.redone + 1 as attempt, l.prompt_id, l.up_to, l.rows),
    advanced as (update prompt p set output_offset = c.up_to from counter c where p.id = c.prompt_id),
    stored as (
      insert into message (id, prompt_id, session_id, seq, attempt, data)
      select (e.value ->> 'id')::uuid, c.prompt_id, c.id, c.base + e.ordinality, c.attempt, e.value -> 'data'
      from counter c, jsonb_array_elements(c.rows) with ordinality e)
    select prompt_id from counter`,
  );
  return new Set(stored.map(({ prompt_id }) => prompt_id));
}
