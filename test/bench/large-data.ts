import { SQL } from "bun";

/** What a deployment has after half a year. */
export interface LargeData {
  sessions: number;
  /** A tenth of them has been pushed and has a pull request; each has two prompts with half of these. */
  messagesPerSession: number;
  /** One of them has a twentieth of all sessions; the others the fewer the higher their number. */
  users: number;
  /** That of the sessions whose prompt waits, or that were pushed. The others name hosts that nobody asks. */
  repository: string;
  /** The tip of its branch `main`: what was pushed. */
  commit: string;
}

export const LARGE: Omit<LargeData, "repository"> = {
  commit: "c".repeat(40),
  sessions: 1_000_000,
  messagesPerSession: 10,
  users: 2_000,
};

/** Who has the most sessions. */
export const BIGGEST_USER = "user-0";
export const DAYS = 180;

/**
 * Ids in the order of time, like those of the service, that follow from a kind and a number: a row can name another one
 * without a join.
 */
const FUNCTIONS = `
create function pg_temp.began(n bigint, sessions bigint) returns timestamptz stable parallel safe language sql as $$
  select date_trunc('day', now()) - interval '${DAYS} days' + n * interval '${DAYS} days' / sessions $$;
create function pg_temp.uid(at timestamptz, kind int, n bigint) returns uuid stable parallel safe language sql as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(kind), 3, '0')
    || '8' || lpad(to_hex(n), 15, '0'))::uuid $$;
-- The golden ratio spreads them over (0, 1) whatever else follows from the number.
create function pg_temp.share(n bigint) returns float8 immutable parallel safe language sql as $$
  select (n * 0.6180339887498949) % 1 $$;
create function pg_temp.owner(n bigint, users int) returns text immutable parallel safe language sql as $$
  select 'user-' || case when pg_temp.share(n) < 0.05 then 0
    else 1 + floor((users - 1) * power((pg_temp.share(n) - 0.05) / 0.95, 2))::int end $$;
create view pg_temp.s as select n, pg_temp.began(n, SESSIONS) as at, pg_temp.uid(pg_temp.began(n, SESSIONS), 1, n) as id,
    pg_temp.owner(n, USERS) as user_id,
    case when n % 50 = 7 then 'deleted' when n % 20 = 3 then 'queued' when n % 1000 = 11 then 'running'
      when n % 1000 = 17 then 'idle' when n % 10 = 5 then 'archived' when n % 50 = 9 then 'failed'
      when n % 100 = 14 then 'cancelled' else 'done' end as kind
  from generate_series(1, SESSIONS::bigint) n;`;

/** An agent's event of some 300 bytes. */
const EVENT = `jsonb_build_object('type', 'assistant', 'uuid', pg_temp.uid(at, 9, n * 100 + k), 'message', jsonb_build_object(
  'role', 'assistant', 'content', jsonb_build_array(jsonb_build_object('type', 'text', 'text',
  'I have looked at src/file-' || k || '.ts, where the ' || n || 'th case is handled, and changed the condition so that it holds.'))))`;

/** Each fills one table, as its foreign keys ask, but in any order: the constraints are not checked here. */
const TABLES: Record<string, string> = {
  session: `insert into session (id, user_id, repo, target_branch, branch, title, messages, inbox_status, session_status,
      sbx_config, pushed_commit, waiting, unread, cancellation_status, cancelled_at, cancelled_by, prompt_seq, message_seq,
      comments_version, version, deleted_at, created_at, updated_at)
    select id, user_id, case when kind = 'queued' or n % 20 = 1 then 'REPOSITORY' else 'https://git.invalid/owner/name-' || n % 50 end,
      'main', 'prompt/fix-' || n, 'Fix the ' || n || 'th case of ' || md5(n::text),
      jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Fix the ' || n || 'th case', 'prompt_id', pg_temp.uid(at, 2, n * 2), 'at', at),
        jsonb_build_object('role', 'assistant', 'content', 'It is fixed: the condition was the wrong way round.', 'prompt_id', pg_temp.uid(at, 2, n * 2), 'at', at)),
      case kind when 'queued' then 'Pending' when 'running' then 'Processing' when 'failed' then 'Failed' when 'cancelled' then 'Cancelled' else 'Completed' end,
      case kind when 'archived' then 'Completed' when 'failed' then 'Failed' else 'Active' end,
      case when kind in ('running', 'idle') then jsonb_build_object('provider', 'local', 'id', pg_temp.uid(at, 3, n), 'host', 'another') end,
      case when n % 10 = 1 then 'COMMIT' end,
      case when kind = 'queued' and n % 100 = 3 then jsonb_build_object('for', 'git_host', 'reason', 'The host does not answer.', 'since', at, 'until', now()) end,
      n % 3 = 0, case kind when 'cancelled' then 'Cancelled' end, case kind when 'cancelled' then at end,
      case kind when 'cancelled' then user_id end, 2, EVENTS, n % 3, 7, case kind when 'deleted' then at + interval '1 day' end,
      at, at + interval '1 hour'
    from pg_temp.s`,
  prompt: `insert into prompt (id, session_id, user_id, seq, data, priority, status, attempt, lease_owner, lease_epoch,
      lease_expires_at, dispatched_at, not_before, waiting_for, error, error_kind, usage, memory, commit, phases, started_at,
      finished_at, version, messages_version, created_at, updated_at)
    select pg_temp.uid(at, 2, n * 2 + k), id, user_id, k + 1, to_jsonb('Fix the ' || n || 'th case'), 0, status, 1,
      case status when 'Running' then 'another' end, case status when 'Queued' then 0 else 1 end,
      case status when 'Running' then now() + interval '1 day' end, case status when 'Queued' then now() else at end,
      case when status = 'Queued' and n % 40 = 3 then now() + interval '1 day' end,
      case when status = 'Queued' and n % 40 = 3 then 'git_host' end,
      case status when 'Failed' then 'It did not work.' end, case status when 'Failed' then 'agent' end,
      '{"turns": 3, "cost_usd": 0.1}', 'fresh', case when n % 10 = 1 and status = 'Completed' then 'COMMIT' end,
      jsonb_build_array(jsonb_build_object('name', 'queued', 'started_at', at)),
      case when status <> 'Queued' then at + interval '1 minute' end,
      case when status in ('Completed', 'Failed', 'Cancelled') then at + interval '1 hour' end, 5, EVENTS / 2, at, at + interval '1 hour'
    from (select s.*, k, case when k = 0 then 'Completed' when kind = 'queued' then 'Queued' when kind = 'running' then 'Running'
        when kind = 'failed' then 'Failed' when kind = 'cancelled' then 'Cancelled' else 'Completed' end as status
      from pg_temp.s s, generate_series(0, 1) k) p`,
  message: `insert into message (id, prompt_id, session_id, seq, data, created_at, updated_at)
    select pg_temp.uid(at, 4, n * 100 + k), pg_temp.uid(at, 2, n * 2 + (k - 1) / (EVENTS / 2)), id, k, ${EVENT}, at, at
    from pg_temp.s, generate_series(1, EVENTS) k`,
  dead_letter_queue: `insert into dead_letter_queue (id, task_type, entity_id, user_id, kind, entity_data, last_error, status, created_at, updated_at)
    select pg_temp.uid(at, 5, n), 'prompt.run', pg_temp.uid(at, 2, n * 2 + 1), user_id, 'agent', '{}', 'It did not work.',
      case n % 8 when 1 then 'Pending' when 3 then 'Abandoned' else 'Resolved' end, at, at
    from pg_temp.s where kind = 'failed'`,
  outbox: `insert into outbox (id, topic, key, payload, attempts, published_at, created_at, updated_at, next_attempt_at)
    select pg_temp.uid(at, 6, n), 'prompt-run', id::text, jsonb_build_object('prompt_id', pg_temp.uid(at, 2, n * 2)), 1,
      now() - n * interval '26 hours' / SESSIONS, at, at, at
    from pg_temp.s where n % 10 = 0`,
  idempotency_key: `insert into idempotency_key (user_id, key, fingerprint, response, created_at)
    select user_id, md5(n::text), md5(n::text), '{}', now() - n * interval '26 hours' / SESSIONS from pg_temp.s where n % 10 = 0`,
  request_limit: `insert into request_limit (key, points, expire)
    select 'user:' || md5(n::text), 5, extract(epoch from now()) * 1000 + 60000 - n from generate_series(1, SESSIONS / 20) n`,
  task_heartbeat: `insert into task_heartbeat (task, process, host)
    select t, 'process-' || n, 'host-' || n from generate_series(1, 50) n, unnest(array['prompt-runner', 'retention']) t`,
  event_ticket: `insert into event_ticket (hash, user_id, expires_at)
    select md5(n::text) || md5(n::text), 'user-' || n % USERS, now() + n * interval '1 second' / 100 - interval '1 minute'
    from generate_series(1, SESSIONS / 100) n`,
  web_session: `insert into web_session (id, user_id, sealed_tokens, expires_at)
    select md5(n::text) || md5(n::text), 'user-' || n % USERS, 'sealed', now() + n * interval '7 days' / (SESSIONS / 50) - interval '1 hour'
    from generate_series(1, SESSIONS / 50) n`,
  used_sign_in_code: `insert into used_sign_in_code (hash, expires_at)
    select md5(n::text) || md5(n::text), now() + n * interval '1 second' / 100 from generate_series(1, SESSIONS / 50) n`,
  webhook_signature: `insert into webhook_signature (hash, seen_at)
    select md5(n::text) || md5(n::text), now() - n * interval '1 day' / (SESSIONS / 20) from generate_series(1, SESSIONS / 20) n`,
  audit_event: `insert into audit_event (seq, at, actor, action, target, hash)
    select n * 2 + k, at, user_id, case k when 0 then 'session.create' else 'prompt.create' end, 'session:' || id, md5(n::text) || md5(k::text)
    from pg_temp.s, generate_series(0, 1) k`,
  egress_request: `insert into egress_request (id, session_id, prompt_id, host, port, decision, rule, count, first_at, last_at)
    select pg_temp.uid(at, 7, n * 4 + k), id, pg_temp.uid(at, 2, n * 2), 'host-' || n % 1000 || '.invalid', 443 + k,
      case k when 0 then 'refused' else 'allowed' end, 'default', 3, at, at
    from pg_temp.s, generate_series(0, 3) k where n % 4 = 0`,
  provenance: `insert into provenance (id, session_id, prompt_id, key_id, envelope)
    select pg_temp.uid(at, 8, n), id, pg_temp.uid(at, 2, n * 2 + 1), 'key', jsonb_build_object('payloadType', 'application/vnd.in-toto+json', 'payload', repeat('e', 400),
      'signatures', jsonb_build_array(jsonb_build_object('keyid', 'key', 'sig', repeat('e', 88))))::text from pg_temp.s where n % 10 = 1`,
  effect: `insert into effect (id, session_id, kind, target, key, status, request, due_at, prompt_id, lease_epoch, created_at, updated_at)
    select pg_temp.uid(at, 10, n * 2 + k), id, case k when 0 then 'push' else 'pull_request' end, 'https://git.invalid/owner/name-' || n % 50 || '#prompt/fix-' || n,
      'key', 'done', jsonb_build_object('commit', md5(n::text) || '00000000'), null, pg_temp.uid(at, 2, n * 2), 1, at, at
    from pg_temp.s, generate_series(0, 1) k where n % 10 = 1`,
  pull_request: `insert into pull_request (session_id, effect_id, number, url, title, state, draft, base, head, read_at, created_at)
    select id, pg_temp.uid(at, 10, n * 2 + 1), n, 'https://git.invalid/owner/name-' || n / 10 % 500 || '/pull/' || n, 'Fix', case n % 30 when 1 then 'open' else 'merged' end,
      false, 'main', md5(n::text) || '00000000', at, at
    from pg_temp.s where n % 10 = 1`,
  agent_memory: `insert into agent_memory (id, session_id, prompt_id, agent, files, bytes, stored_at)
    select pg_temp.uid(at, 11, n * 2 + k), id, pg_temp.uid(at, 2, n * 2 + k), 'claude',
      jsonb_build_array(jsonb_build_object('path', 'a', 'size', 100, 'chunks', jsonb_build_array(md5(n::text), md5(k::text)))), 100, at + k * interval '1 hour'
    from pg_temp.s, generate_series(0, 1) k where n % 2 = 1 and (k = 0 or n % 8 = 1)`,
  session_chunk: `insert into session_chunk (session_id, hash, data, used_at)
    select id, md5(case k when 0 then n else k - 1 end::text), decode(md5(n::text), 'hex'), at from pg_temp.s, generate_series(0, 1) k where n % 2 = 1`,
  unpushed_work: `insert into unpushed_work (session_id, commit, bundle, host, stored_at)
    select id, md5(n::text) || '00000000', jsonb_build_object('path', 'a', 'size', 16, 'chunks', jsonb_build_array(md5(n::text))),
      case when n % 1000 = 1 then 'another' end, at
    from pg_temp.s where n % 100 = 1`,
  model_call: `insert into model_call (id, prompt_id, epoch, session_id, user_id, repo, agent, api, model, status, http_status, cost,
      input_tokens, output_tokens, started_at, ended_at)
    select pg_temp.uid(at, 14, n * 4 + k), pg_temp.uid(at, 2, n * 2 + k % 2), 1, id, user_id, 'https://git.invalid/owner/name-' || n % 50,
      'claude', 'anthropic', 'model-' || n % 3, 'done', 200, 10000000, 900, 100, at + k * interval '1 minute', at + k * interval '1 minute'
    from pg_temp.s, generate_series(0, 3) k`,
  model_usage: `insert into model_usage (day, user_id, session_id, prompt_id, repo, agent, model, calls, turns, input_tokens, output_tokens, cost)
    select (at at time zone 'utc')::date, user_id, id, pg_temp.uid(at, 2, n * 2 + k), 'https://git.invalid/owner/name-' || n % 50,
      'claude', 'model-' || n % 3, 2, 2, 1800, 200, 20000000
    from pg_temp.s, generate_series(0, 1) k`,
  spend: `insert into spend (scope, subject, period, spent, calls)
    select 'session', id::text, date '1970-01-01', 40000000, 4 from pg_temp.s
    union all select 'run', pg_temp.uid(at, 2, n * 2 + k)::text, date '1970-01-01', 20000000, 2 from pg_temp.s, generate_series(0, 1) k
    union all select 'user_day', user_id, (at at time zone 'utc')::date, count(*) * 40000000, count(*) * 4
      from pg_temp.s where at > now() - interval '70 days' group by 2, 3`,
  comment: `insert into comment (id, session_id, path, commit, side, line, end_line, text, code, sent_prompt_id, created_at, updated_at)
    select pg_temp.uid(at, 12, n * 4 + k), id, 'src/a.ts', md5(n::text) || '00000000', 'new', k + 1, k + 1, 'Why?', 'code',
      case when k > 0 then pg_temp.uid(at, 2, n * 2 + 1) end, at, at
    from pg_temp.s, generate_series(0, 2) k where n % 10 = 1`,
};

/**
 * Of the biggest user, and with far more than others have: their newest session, and what it has in pages. Its numbers
 * continue those of the others.
 */
const LONG_SESSION = `
insert into session (id, user_id, repo, target_branch, branch, title, inbox_status, prompt_seq, message_seq, created_at, updated_at)
  values (pg_temp.uid(now(), 1, 0), '${BIGGEST_USER}', 'https://git.invalid/owner/name', 'main', 'prompt/long', 'A long one', 'Completed', 1000, LONG, now(), now());
insert into prompt (id, session_id, user_id, seq, data, status, attempt, lease_epoch, started_at, finished_at)
  select pg_temp.uid(now(), 2, k), pg_temp.uid(now(), 1, 0), '${BIGGEST_USER}', k, '"Go on"', 'Completed', 1, 1, now(), now() from generate_series(1, 1000) k;
insert into message (id, prompt_id, session_id, seq, data)
  select pg_temp.uid(now(), 13, k), pg_temp.uid(now(), 2, 1), pg_temp.uid(now(), 1, 0), k, ${EVENT}
  from (select k, now() as at, 0::bigint as n from generate_series(1, LONG) k) e;
insert into comment (id, session_id, path, commit, side, text, code, sent_prompt_id)
  select pg_temp.uid(now(), 12, k), pg_temp.uid(now(), 1, 0), 'src/a.ts', repeat('0', 40), 'new', 'Why?', '', pg_temp.uid(now(), 2, 1)
  from generate_series(1, 5000) k;
insert into egress_request (id, session_id, prompt_id, host, port, decision, rule, count, first_at, last_at)
  select pg_temp.uid(now(), 7, k), pg_temp.uid(now(), 1, 0), pg_temp.uid(now(), 2, 1), 'host-' || k || '.invalid', 443, 'refused', 'default', 1, now(), now()
  from generate_series(1, 5000) k;
insert into effect (id, session_id, kind, target, key, status, request)
  select pg_temp.uid(now(), 10, k), pg_temp.uid(now(), 1, 0), 'push', 't', k::text, 'done', '{}' from generate_series(1, 5000) k;
insert into audit_pending (actor, action, target) select 'user-1', 'session.create', 'session:' || k from generate_series(1, 3000) k;`;

/**
 * Fills a migrated, empty database of a private PostgreSQL, whose user must be a superuser. The indexes stay as they are
 * migrated, since ids come in their order. 1,000,000 sessions with 10,000,000 messages take some minutes and 12 GB.
 */
export async function fillLarge(
  url: string,
  data: LargeData,
  say: (text: string) => void = () => undefined,
): Promise<void> {
  const { sessions, messagesPerSession, users, repository, commit } = data;
  const put = (text: string) =>
    text
      .replaceAll("SESSIONS", String(sessions))
      .replaceAll("USERS", String(users))
      .replaceAll("EVENTS", String(messagesPerSession))
      .replaceAll("LONG", String(Math.max(1_000, Math.floor(sessions / 20))))
      .replaceAll("COMMIT", commit)
      .replaceAll("REPOSITORY", repository.replaceAll("'", "''"));
  const names = Object.keys(TABLES);
  const lane = async () => {
    const sql = new SQL({ url, max: 1, idleTimeout: 0, connectionTimeout: 30 });
    try {
      // Neither triggers nor foreign keys: what is inserted is whole.
      await sql.unsafe("set session_replication_role = replica; set synchronous_commit = off; set jit = off");
      await sql.unsafe(put(FUNCTIONS));
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        const began = performance.now();
        await sql.unsafe(put(TABLES[name] ?? ""));
        say(`${name}: ${((performance.now() - began) / 1000).toFixed(0)} s`);
      }
      return sql;
    } catch (error) {
      await sql.end();
      throw error;
    }
  };
  // The messages take as long as all else together.
  names.unshift(...names.splice(names.indexOf("message"), 1));
  const lanes = await Promise.all([lane(), lane()]);
  const [sql] = lanes;
  await sql?.unsafe(put(LONG_SESSION));
  // As autovacuum would have done long since: indexes alone answer only where pages are known to be visible to all.
  await sql?.unsafe("vacuum (analyze)");
  await Promise.all(lanes.map((one) => one.end()));
}
