import type postgres from "postgres";
import { modelName, priceOf } from "../harness/model-bill.ts";
import type { startModelOf } from "./bill-model.ts";
import type { Job } from "./bill-plan.ts";

/** A cent. */
const WRONG_DOLLARS = 0.01;
/** Of calls that all have been answered: less than any of them costs. */
const EXACT_DOLLARS = 1e-6;

/**
 * What nobody can know: of calls that ended before their API had said a word, how much of the input was read from its cache, and how much
 * was written to it for an hour, which costs twice as much as input.
 */
async function unknownOf(sql: postgres.Sql) {
  const rows = await sql<
    { session: string; model: string; untold: number }[]
  >`select session_id::text as session, model, coalesce(sum(input_estimate) filter (where estimated), 0)::float8 as untold
    from model_call group by 1, 2`;
  const estimated = await sql<
    { session: string }[]
  >`select distinct session_id::text as session from model_call where estimated`;
  const dollars = (of: readonly { model: string; untold: number }[]) =>
    of.reduce((sum, { model, untold }) => sum + (untold * 2 * priceOf(model).input) / 1e6, 0);
  return {
    total: dollars(rows),
    model: (name: string) => dollars(rows.filter(({ model }) => modelName(model) === name)),
    session: (id: string) => dollars(rows.filter(({ session }) => session === id)),
    isExact: (id: string) => !estimated.some(({ session }) => session === id),
  };
}

/**
 * Compares what GET /usage says with the bill, in all, by model and by session, and what the service has left reserved.
 * @returns a sentence for each difference.
 */
export async function compare(of: {
  // biome-ignore lint/suspicious/noExplicitAny: replies of every shape.
  api: (method: string, path: string) => Promise<any>;
  sql: postgres.Sql;
  model: ReturnType<typeof startModelOf>;
  jobs: readonly Job[];
  sessions: ReadonlyMap<string, string>;
  say: (line: string) => void;
}): Promise<string[]> {
  const { api, sql, model, jobs, sessions, say } = of;
  const wrong: string[] = [];
  const usd = (dollars: number) => `$${dollars.toFixed(6)}`;
  const unknown = await unknownOf(sql);
  const same = (what: string, used: number, billed: number, allowed: number) => {
    if (Math.abs(used - billed) >= allowed) wrong.push(`${what}: usage ${usd(used)}, bill ${usd(billed)}`);
  };
  const { calls, freeCalls } = model.bill;
  const sums = (keyOf: (call: (typeof calls)[number]) => string) => {
    const result = new Map<string, number>();
    for (const call of calls) result.set(keyOf(call), (result.get(keyOf(call)) ?? 0) + call.dollars);
    return result;
  };
  const usageBy = async (group: string, keyOf: (key: string) => string) => {
    const result = new Map<string, number>();
    const { usage, total } = await api("GET", `/usage?group_by=${group}`);
    for (const { key, cost_usd } of usage as { key: string; cost_usd: number }[])
      result.set(keyOf(key), (result.get(keyOf(key)) ?? 0) + cost_usd);
    return { by: result, total: total.cost_usd as number };
  };
  const models = await usageBy("model", modelName);
  const billed = calls.reduce((sum, { dollars }) => sum + dollars, 0);
  same("the total", models.total, billed, WRONG_DOLLARS + unknown.total);
  say(`of calls whose API never said a word, nobody knows ${usd(unknown.total)}`);
  say(`total: usage ${usd(models.total)}, bill ${usd(billed)}, difference ${usd(models.total - billed)}`);
  for (const [name, dollars] of sums((call) => modelName(call.model))) {
    same(name, models.by.get(name) ?? 0, dollars, WRONG_DOLLARS + unknown.model(name));
    say(`  ${name}: usage ${usd(models.by.get(name) ?? 0)}, bill ${usd(dollars)}`);
  }
  const bySession = sums(({ label }) => sessions.get(label) ?? label);
  const used = await usageBy("session", (key) => key);
  let exact = 0;
  for (const [id, dollars] of bySession) {
    const own = used.by.get(id) ?? 0;
    const name = `session ${id} (${jobs.filter(({ label }) => sessions.get(label) === id).map(({ label, incidents }) => `${label}: ${incidents.map(({ trouble }) => trouble).join(", ")}`)})`;
    same(name, own, dollars, unknown.isExact(id) ? EXACT_DOLLARS : WRONG_DOLLARS + unknown.session(id));
    if (Math.abs(own - dollars) < EXACT_DOLLARS) exact += 1;
    else say(`  ${usd(own - dollars)} in ${name}`);
  }
  for (const id of used.by.keys()) if (!bySession.has(id)) wrong.push(`session ${id} is not on the bill`);
  say(`  ${bySession.size} sessions, ${exact} to the millionth of a dollar`);
  const [row] = await sql`select
    (select coalesce(sum(reserved), 0)::float8 from spend) as reserved, (select coalesce(sum(open), 0)::int from model_api) as open`;
  if (row?.["reserved"] !== 0) wrong.push(`${row?.["reserved"]} is reserved`);
  if (row?.["open"] !== 0) wrong.push(`${row?.["open"]} calls count as open`);
  const byHow = Object.entries(Object.groupBy(calls, ({ how }) => how)).map(
    ([how, list]) => `${how} ${list.length}`,
  );
  say(
    `  on the bill: ${byHow.join(", ")}; free: ${[...freeCalls].map(([why, count]) => `${why} ${count}`).join(", ")}`,
  );
  const rows =
    await sql`select status, estimated, count(*)::int as count from model_call group by 1, 2 order by 1, 2`;
  say(
    `  in the ledger: ${rows.map((one) => `${one["status"]}${one["estimated"] ? " (estimated)" : ""} ${one["count"]}`).join(", ")}`,
  );
  return wrong;
}
