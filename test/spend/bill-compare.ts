import type postgres from "postgres";
import { modelName } from "../harness/model-bill.ts";
import type { startModelOf } from "./bill-model.ts";
import type { Job } from "./bill-plan.ts";

/** A cent. */
const WRONG_DOLLARS = 0.01;

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
  const same = (what: string, used: number, billed: number) => {
    if (Math.abs(used - billed) >= WRONG_DOLLARS)
      wrong.push(`${what}: usage ${usd(used)}, bill ${usd(billed)}`);
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
  same("the total", models.total, billed);
  say(`total: usage ${usd(models.total)}, bill ${usd(billed)}, difference ${usd(models.total - billed)}`);
  for (const [name, dollars] of sums((call) => modelName(call.model))) {
    same(name, models.by.get(name) ?? 0, dollars);
    say(`  ${name}: usage ${usd(models.by.get(name) ?? 0)}, bill ${usd(dollars)}`);
  }
  const bySession = sums(({ label }) => sessions.get(label) ?? label);
  const used = await usageBy("session", (key) => key);
  let exact = 0;
  for (const [id, dollars] of bySession) {
    const own = used.by.get(id) ?? 0;
    const name = `session ${id} (${jobs.filter(({ label }) => sessions.get(label) === id).map(({ label, incidents }) => `${label}: ${incidents.map(({ trouble }) => trouble).join(", ")}`)})`;
    same(name, own, dollars);
    if (Math.abs(own - dollars) < 1e-6) exact += 1;
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
