import { type SQL, sql } from "drizzle-orm";
import { decodeCursor, type Page, type PageQuery, pageOf } from "../api/paging.ts";
import { type Orm, rowsOf } from "../db/client.ts";
import { modelUsage, spend } from "../db/spend-tables.ts";
import { session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";
import { NANO } from "../spend/money.ts";
import { resetOf } from "../spend/periods.ts";
import type { Scope } from "../spend/store.ts";
import type { BudgetDto, Group, UsageDto, UsageTotals } from "./model.ts";

export interface UsageQuery extends PageQuery {
  /** Undefined: of all users. */
  userId: string | undefined;
  /** Days, both included. */
  from: string;
  to: string;
  groupBy: Group;
}

/** In an order that is the same in every database. */
const KEYS: Readonly<Record<Group, SQL>> = {
  ...{ day: sql`u.day::text`, user: sql`u.user_id collate "C"`, repo: sql`u.repo collate "C"` },
  ...{ model: sql`u.model collate "C"`, agent: sql`u.agent collate "C"`, session: sql`u.session_id::text` },
};

const SUMS = sql`count(distinct u.prompt_id) filter (where u.agent <> '(titles)')::int as runs, sum(u.turns)::float8 as turns, sum(u.calls)::float8 as calls,
  sum(u.estimated_calls)::float8 as estimated_calls,
  sum(u.input_tokens + u.cache_read_tokens + u.cache_write_tokens + u.cache_write_1h_tokens)::float8 as input_tokens,
  sum(u.output_tokens)::float8 as output_tokens, sum(u.cache_read_tokens)::float8 as cache_read_tokens,
  sum(u.cache_write_tokens + u.cache_write_1h_tokens)::float8 as cache_write_tokens,
  sum(u.cost)::float8 / ${sql.raw(String(NANO))} as cost_usd`;

type Sums = { [Key in keyof UsageTotals]: number | null };

/** Nothing was used: sums of no rows are null. */
const toTotals = (row: Sums | undefined): UsageTotals => {
  const value = (key: keyof UsageTotals) => row?.[key] ?? 0;
  return {
    ...{ runs: value("runs"), turns: value("turns"), calls: value("calls") },
    ...{ estimated_calls: value("estimated_calls"), input_tokens: value("input_tokens") },
    ...{ output_tokens: value("output_tokens"), cache_read_tokens: value("cache_read_tokens") },
    ...{ cache_write_tokens: value("cache_write_tokens"), cost_usd: value("cost_usd") },
  };
};

const matching = ({ userId, from, to }: Pick<UsageQuery, "userId" | "from" | "to">): SQL =>
  sql`u.day between ${from}::date and ${to}::date${userId === undefined ? sql`` : sql` and u.user_id = ${userId}`}`;

/** A cursor, also after a key that is empty; PostgreSQL's texts have no zero bytes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for one.
const AFTER = /^>([^\u0000]*)$/;

/** What model calls have used, by what they are grouped by, in the order of that. @throws AppError `invalid_cursor` */
export async function listUsage(orm: Orm, query: UsageQuery): Promise<Page<UsageDto>> {
  const { groupBy, limit, cursor } = query;
  const key = KEYS[groupBy];
  const after = cursor === undefined ? sql`` : sql` and ${key} > ${decodeCursor(cursor, AFTER)[1]}`;
  const rows = await rowsOf<Sums & { key: string }>(
    orm,
    sql`select ${key} as key, ${SUMS} from ${modelUsage} u where ${matching(query)}${after}
      group by 1 having sum(u.calls) > 0 order by 1${limit === undefined ? sql`` : sql` limit ${limit + 1}`}`,
  );
  return pageOf(
    rows.map((row) => ({ key: row.key, ...toTotals(row) })),
    limit,
    (row) => `>${row.key}`,
  );
}

const EXPORTED_AT_ONCE = 5_000;

/** All of it, page by page. */
export async function* exportUsage(orm: Orm, query: UsageQuery): AsyncGenerator<UsageDto[], void, undefined> {
  let cursor: string | undefined;
  do {
    const { rows, next } = await listUsage(orm, { ...query, limit: EXPORTED_AT_ONCE, cursor });
    if (rows.length > 0) yield rows;
    cursor = next ?? undefined;
  } while (cursor !== undefined);
}

export async function totalUsage(orm: Orm, query: UsageQuery): Promise<UsageTotals> {
  const [row] = await rowsOf<Sums>(orm, sql`select ${SUMS} from ${modelUsage} u where ${matching(query)}`);
  return toTotals(row);
}

/** By model. @throws AppError `session_not_found` */
export async function sessionUsage(
  orm: Orm,
  { userId, sessionId }: { userId: string; sessionId: string },
): Promise<{ usage: UsageDto[]; total: UsageTotals; spent: number; reserved: number }> {
  const own = await orm.select({ id: session.id }).from(session).where(ownedSessionById(userId, sessionId));
  if (own.length === 0) throw notFound("session", sessionId);
  const of = sql`from ${modelUsage} u where u.session_id = ${sessionId}::uuid`;
  const [usage, [total], [held]] = await Promise.all([
    rowsOf<Sums & { key: string }>(
      orm,
      sql`select u.model as key, ${SUMS} ${of} group by 1 having sum(u.calls) > 0 order by 1`,
    ),
    rowsOf<Sums>(orm, sql`select ${SUMS} ${of}`),
    rowsOf<{ spent: number; reserved: number }>(
      orm,
      sql`select spent::float8, reserved::float8 from ${spend} where scope = 'session' and subject = ${sessionId}`,
    ),
  ]);
  return {
    usage: usage.map((row) => ({ key: row.key, ...toTotals(row) })),
    total: toTotals(total),
    ...{ spent: held?.spent ?? 0, reserved: held?.reserved ?? 0 },
  };
}

/** Budgets that have a limit, by scope, as they stand now. @param wanted which, each with its subject: a user, or empty. */
export async function readBudgets(
  orm: Orm,
  wanted: readonly { scope: Scope; subject: string; most: number | undefined }[],
): Promise<BudgetDto[]> {
  const limited = wanted.flatMap(({ most, ...one }) => (most === undefined ? [] : [{ ...one, most }]));
  if (limited.length === 0) return [];
  const rows = await rowsOf<{ scope: Scope; spent: number; reserved: number }>(
    orm,
    // One look at the key for each: the planner, which expects more of them, would read all budgets there are.
    sql`select w.scope, b.spent::float8, b.reserved::float8
      from jsonb_to_recordset(${JSON.stringify(limited)}::jsonb) w (scope text, subject text)
      cross join lateral (select spent, reserved from ${spend} s
        where s.scope = w.scope and s.subject = w.subject and s.period = case w.scope
          when 'user_month' then date_trunc('month', now() at time zone 'utc')::date
          else (now() at time zone 'utc')::date end
        limit 1) b`,
  );
  return limited.map(({ scope, most }) => {
    const { spent = 0, reserved = 0 } = rows.find((row) => row.scope === scope) ?? {};
    return toBudget({ scope, most, spent, reserved });
  });
}

/** Those of a user that have a limit. */
export const userBudgets = (orm: Orm, userId: string, limits: Partial<Record<Scope, number | undefined>>) =>
  readBudgets(
    orm,
    (["user_day", "user_month"] as const).map((scope) => ({ scope, subject: userId, most: limits[scope] })),
  );

/** @param of in billionths of a US dollar. */
export function toBudget(of: { scope: Scope; most: number; spent: number; reserved: number }): BudgetDto {
  const { scope, most, spent, reserved } = of;
  return {
    scope,
    ...{ limit_usd: most / NANO, spent_usd: spent / NANO, reserved_usd: reserved / NANO },
    left_usd: Math.max(0, most - spent - reserved) / NANO,
    resets_at: resetOf(scope, new Date())?.toISOString() ?? null,
  };
}
