import { beforeAll, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { listUsage, readBudgets, totalUsage } from "../../src/usage/store.ts";
import { describeOnPostgres } from "../harness/databases.ts";
import { scansOfCall } from "../harness/plan.ts";

/** A hundred users, who have used two models on each of a hundred days. */
const DAYS = { first: "2026-01-01", last: "2026-04-10" };
const USER = "user-7";

describeOnPostgres("what is read for a report", (database) => {
  beforeAll(async () => {
    const { orm } = database();
    await orm.execute(sql`insert into model_usage (day, user_id, session_id, prompt_id, repo, agent, model, calls)
      select date '2026-01-01' + day, 'user-' || who, gen_random_uuid(), gen_random_uuid(), 'repo-' || who % 10, 'claude', 'model-' || model, 1
      from generate_series(0, 99) day, generate_series(1, 100) who, generate_series(1, 2) model`);
    await orm.execute(sql`insert into spend (scope, subject, period, spent)
      select 'user_day', 'user-' || who, (now() at time zone 'utc')::date - day, 1
      from generate_series(0, 99) day, generate_series(1, 100) who`);
    await orm.execute(sql`analyze model_usage, spend`);
  });
  const query = { groupBy: "model", userId: USER, from: DAYS.first, to: "2026-01-10" } as const;

  test("is what a user has used in those days, and no more", async () => {
    const { orm } = database();
    for (const read of [listUsage, totalUsage])
      expect(await scansOfCall(orm, (explaining) => read(explaining, query))).toEqual([
        { table: "model_usage", index: "model_usage_user", rows: 20 },
      ]);
    const { rows, next } = await listUsage(orm, { ...query, limit: 1 });
    expect([rows.map(({ key }) => key), next === null]).toEqual([["model-1"], false]);
  });

  test("of all users, what was used in those days", async () => {
    const ofDay = { ...query, userId: undefined, to: DAYS.first };
    const scans = await scansOfCall(database().orm, (explaining) => listUsage(explaining, ofDay));
    expect(scans.map(({ rows }) => rows)).toContain(200);
    expect(scans.every(({ index, rows }) => index !== "Seq Scan" && rows <= 200)).toBe(true);
  });

  test("a budget is found by its key", async () => {
    const wanted = [{ scope: "user_day", subject: USER, most: 1 }] as const;
    const scans = await scansOfCall(database().orm, (explaining) => readBudgets(explaining, wanted));
    expect(scans).toEqual([{ table: "spend", index: "spend_scope_subject_period_pk", rows: 1 }]);
  });
});
