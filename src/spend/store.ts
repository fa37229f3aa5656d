import { type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import type { ModelApi } from "../db/columns.ts";
import { MOST_COST } from "./money.ts";
import type { Tokens } from "./prices.ts";

/** Budgets that a call counts in. */
export const SCOPES = ["run", "session", "user_day", "user_month", "deployment_day"] as const;
export type Scope = (typeof SCOPES)[number];

/** On whose account a call is. */
export interface Account {
  /** Undefined: of a session's title. */
  promptId: string | undefined;
  /** Of the run's lease; 0 without one. */
  epoch: number;
  sessionId: string;
  userId: string;
  repo: string;
  agent: string;
}

/** Money is in billionths of a US dollar. */
export interface WantedCall extends Account {
  id: string;
  api: ModelApi;
  model: string;
  /** What it may cost. */
  amount: number;
  /** About how many tokens its request has. */
  inputEstimate: number;
  /** See ModelRequest; undefined: not known. */
  conversation?: string;
  /** What may be spent in each scope. Undefined: any amount. */
  limits: Partial<Record<Scope, number>>;
  /** How many calls its run may make. */
  mostCalls: number | undefined;
  /** How many calls this API may have at a time. */
  mostOpen: number | undefined;
}

/** Why a call may not be made, or not now. `held`: other calls, which are under way, may leave enough for it. */
export type Refusal =
  | { why: "busy"; until: Date | undefined }
  | { why: "held" }
  | { why: "ended" }
  | { why: "calls"; most: number }
  | {
      why: "budget";
      scope: Scope;
      most: number;
      spent: number;
      reserved: number;
      /** What the call may cost. */
      amount: number;
    };

/** How a call stands or has ended. */
export interface CallResult extends Account {
  id: string;
  api: ModelApi;
  model: string;
  status: "done" | "failed" | "broken" | "lost";
  httpStatus: number | undefined;
  tokens: Tokens;
  cost: number;
  estimated: boolean;
  firstOutputMs: number | undefined;
  durationMs: number | undefined;
  startedAt: Date | undefined;
  overloaded: boolean;
  /** What its API has asked for. */
  retryAfterMs: number | undefined;
}

interface RefusalRow {
  id: string;
  refused: string | null;
  until: string | null;
  most: string | null;
  spent: string | null;
  reserved: string | null;
}

const accountJson = ({ promptId, epoch, sessionId, userId, repo, agent }: Account) => ({
  ...{ prompt: promptId, epoch, session: sessionId, user: userId, repo, agent },
});

/**
 * Reserves what calls may cost in all their budgets, and writes them down, as one statement.
 * @returns by id, those that were refused, and why.
 */
export async function reserveCalls(
  orm: Orm,
  calls: readonly WantedCall[],
): Promise<ReadonlyMap<string, Refusal>> {
  const amounts = new Map(calls.map(({ id, amount }) => [id, Math.min(amount, MOST_COST)]));
  const json = calls.map((call) => ({
    ...accountJson(call),
    ...{ id: call.id, api: call.api, model: call.model, input: call.inputEstimate },
    conversation: call.conversation,
    amount: amounts.get(call.id),
    ...{ limits: call.limits, calls: call.mostCalls, open: call.mostOpen },
  }));
  const rows = await rowsOf<RefusalRow>(
    orm,
    sql`select * from reserve_model_calls(${JSON.stringify(json)}::jsonb) where refused is not null`,
  );
  return new Map(rows.map((row) => [row.id, refusalOf(row, amounts.get(row.id) ?? 0)]));
}

function refusalOf({ refused, until, most, spent, reserved }: RefusalRow, amount: number): Refusal {
  const [limit, used, kept] = [most, spent, reserved].map(Number);
  if (refused === "busy") return { why: "busy", until: until === null ? undefined : new Date(until) };
  if (refused === "ended" || refused === "held") return { why: refused };
  if (refused === "calls") return { why: "calls", most: limit ?? 0 };
  return {
    ...{ why: "budget", scope: refused as Scope, amount },
    ...{ most: limit ?? 0, spent: used ?? 0, reserved: kept ?? 0 },
  };
}

/** Turns reservations into what the calls have cost. May be repeated. */
export async function settleCalls(orm: Orm, calls: readonly CallResult[]): Promise<void> {
  const json = calls.map((call) => ({
    ...accountJson(call),
    ...{ id: call.id, api: call.api, model: call.model, status: call.status, http_status: call.httpStatus },
    ...tokensJson(call.tokens),
    ...{ cost: call.cost, estimated: call.estimated, started: call.startedAt },
    ...{ first_output_ms: call.firstOutputMs, duration_ms: call.durationMs },
    ...{ overloaded: call.overloaded, retry_after_ms: call.retryAfterMs },
  }));
  await orm.execute(sql`select settle_model_calls(${JSON.stringify(json)}::jsonb)`);
}

/** A call that is not made. */
export interface UnmadeCall {
  id: string;
  api: ModelApi;
  /** Who waits for a turn no more. Undefined: other calls of that user do. */
  userId: string | undefined;
}

/** Takes back reservations of calls that are not made, if there are any. May be repeated. */
export async function cancelCalls(orm: Orm, calls: readonly UnmadeCall[]): Promise<void> {
  const json = calls.map(({ id, api, userId }) => ({ id, api, user: userId }));
  await orm.execute(sql`select cancel_model_calls(${JSON.stringify(json)}::jsonb)`);
}

const tokensJson = (tokens: Tokens) => ({
  ...{ input: tokens.input, output: tokens.output, web_searches: tokens.webSearches },
  ...{ cache_read: tokens.cacheRead, cache_write: tokens.cacheWrite, cache_write_1h: tokens.cacheWrite1h },
});

/** What open calls have used so far, in case that this process does not see their end. */
export interface CallProgress {
  id: string;
  model: string;
  tokens: Tokens;
}

/** Leaves out what is being settled now: neither of the two may wait for the other. */
export async function recordProgress(orm: Orm, calls: readonly CallProgress[]): Promise<void> {
  const json = calls.map(({ id, model, tokens }) => ({ id, model, ...tokensJson(tokens) }));
  await orm.execute(sql`with c as (select * from jsonb_to_recordset(${JSON.stringify(json)}::jsonb) c (id uuid, model text,
      input bigint, output bigint, cache_read bigint, cache_write bigint, cache_write_1h bigint, web_searches bigint)),
    open as materialized (select m.id from model_call m where m.id in (select c.id from c) and m.status = 'open'
      for update skip locked)
    update model_call m set model = c.model, input_tokens = c.input, output_tokens = c.output,
      cache_read_tokens = c.cache_read, cache_write_tokens = c.cache_write, cache_write_1h_tokens = c.cache_write_1h,
      web_searches = c.web_searches, input_estimate = 0
    from c join open using (id) where m.id = c.id`);
}

/** A call whose maker has died, with what it had used when that was last written down. */
export interface LostCall extends Account {
  id: string;
  api: ModelApi;
  model: string;
  tokens: Tokens;
  inputEstimate: number;
  before: CallBefore | undefined;
  startedAt: Date;
}

const MOST_LOST = 500;

/** What a call is taken for of which nobody will ever know: like the one before it. */
export interface CallBefore {
  tokens: Tokens;
  /** How much of its input that one has, too: 1 of the same conversation, and 0 of another. */
  share: number;
}

/** The call before one, of the same session and model, and if there is one, of the same conversation; whoever saw its end. */
const callBeforeIt = (
  call: SQL,
) => sql`select jsonb_build_array(b.input_tokens, b.output_tokens, b.cache_read_tokens,
    b.cache_write_tokens, b.cache_write_1h_tokens, 0, (b.conversation = ${call}.conversation)::integer)
  from model_call b where b.session_id = ${call}.session_id and b.id < ${call}.id and b.status <> 'open'
    and starts_with(b.model, ${call}.model)
    and b.input_tokens + b.cache_read_tokens + b.cache_write_tokens + b.cache_write_1h_tokens > 0
  order by b.conversation = ${call}.conversation desc, b.id desc limit 1`;

/** That of a call which is in the table. Undefined: there is none. */
export async function callBefore(orm: Orm, id: string): Promise<CallBefore | undefined> {
  const rows = await rowsOf<{ before: number[] | null }>(
    orm,
    sql`select (${callBeforeIt(sql`m`)}) as before from model_call m where m.id = ${id}::uuid`,
  );
  return beforeIn(rows[0]?.before);
}

const beforeIn = (counts: number[] | null | undefined): CallBefore | undefined =>
  counts ? { tokens: tokensIn(counts), share: counts[6] ?? 0 } : undefined;

/** Calls that are open although their run has gone on without them or has ended; of titles, those that take too long. */
export async function lostCalls(orm: Orm): Promise<LostCall[]> {
  const rows = await rowsOf<
    Record<keyof Account | "id" | "api" | "model" | "startedAt", string> & {
      promptId: string | null;
      counts: number[];
      before: number[] | null;
    }
  >(
    orm,
    sql`select m.id, m.prompt_id as "promptId", m.epoch, m.session_id as "sessionId", m.user_id as "userId", m.repo, m.agent,
      m.api, m.model, m.started_at as "startedAt", jsonb_build_array(m.input_tokens, m.output_tokens, m.cache_read_tokens,
        m.cache_write_tokens, m.cache_write_1h_tokens, m.web_searches, m.input_estimate) as counts,
      (${callBeforeIt(sql`m`)}) as before
    from model_call m left join prompt p on p.id = m.prompt_id
    where m.status = 'open' and case when m.prompt_id is null then m.started_at < now() - interval '5 minutes'
      else m.started_at < now() - interval '10 seconds' and (p.id is null or p.status <> 'Running' or p.lease_epoch <> m.epoch
        or p.lease_expires_at < now()) end
    order by m.started_at limit ${MOST_LOST}`,
  );
  return rows.map(({ counts, before, startedAt, promptId, epoch, api, ...row }) => {
    return {
      ...row,
      ...{ api: api as ModelApi, promptId: promptId ?? undefined, epoch: Number(epoch) },
      ...{ tokens: tokensIn(counts), before: beforeIn(before) },
      ...{ inputEstimate: counts[6] ?? 0, startedAt: new Date(startedAt) },
    };
  });
}

function tokensIn(counts: readonly number[]): Tokens {
  const [input = 0, output = 0, cacheRead = 0, cacheWrite = 0, cacheWrite1h = 0, webSearches = 0] = counts;
  return { input, output, cacheRead, cacheWrite, cacheWrite1h, webSearches };
}

/** What the calls of a prompt have used: turns, input_tokens, output_tokens, cost_usd. Empty: it has made none. */
export async function meteredUsage(orm: Orm, promptId: string): Promise<Record<string, number>> {
  const rows = await rowsOf<{ usage: Record<string, number> | null }>(
    orm,
    sql`select prompt_usage(${promptId}::uuid) as usage`,
  );
  return rows[0]?.usage ?? {};
}
