import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { modelUsage, spend } from "../../src/db/spend-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { purgeSession } from "../../src/sessions/purge-store.ts";
import { purgePastSpend } from "../../src/spend/purge-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";

const EVER = "1970-01-01";

describeEachDatabase("the purge of what was spent", (database) => {
  const subjects = async () =>
    (await database().orm.select({ subject: spend.subject }).from(spend))
      .map(({ subject }) => subject)
      .sort();

  test("of a session goes with it, and of no other; the reports keep it", async () => {
    const { orm } = database();
    const [gone, kept] = [await seedSession(database(), 2), await seedSession(database(), 1)];
    await orm.delete(spend);
    for (const { sessionId, promptIds } of [gone, kept])
      await orm
        .insert(spend)
        .values([
          { scope: "session", subject: sessionId, period: EVER, spent: 3 },
          ...promptIds.map((subject) => ({ scope: "run", subject, period: EVER, spent: 1 })),
        ]);
    const about = { sessionId: gone.sessionId, promptId: gone.promptIds[0] ?? "" };
    await orm.insert(modelUsage).values({
      ...{ ...about, day: "2026-01-01", userId: "alice", repo: "a", agent: "claude", model: "m", calls: 1 },
    });
    await orm.update(prompt).set({ status: "Completed" }).where(eq(prompt.sessionId, gone.sessionId));
    const deletedAt = sql`now() - interval '40 days'`;
    await orm.update(session).set({ deletedAt }).where(eq(session.id, gone.sessionId));
    while ((await purgeSession(orm, gone.sessionId, 30)) > 0);
    expect(await orm.$count(session, eq(session.id, gone.sessionId))).toBe(0);
    expect(await subjects()).toEqual([kept.sessionId, ...kept.promptIds].sort());
    expect(await orm.$count(modelUsage, eq(modelUsage.sessionId, gone.sessionId))).toBe(1);
  });

  test("of days and months begins once they are long over; what is reserved stays", async () => {
    const { orm } = database();
    await orm.delete(spend);
    const row = (scope: string, subject: string, days: number, reserved = 0) => ({
      ...{ scope, subject, reserved, spent: 1 },
      period: new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10),
    });
    await orm
      .insert(spend)
      .values([
        ...["user_day", "user_month", "deployment_day"].flatMap((scope) => [
          row(scope, `${scope} 70`, 70),
          row(scope, `${scope} 60`, 60),
        ]),
        row("user_day", "open", 70, 5),
        { scope: "session", subject: "a session", period: EVER },
      ]);
    expect(await purgePastSpend(orm)).toBe(3);
    expect(await purgePastSpend(orm)).toBe(0);
    expect(await subjects()).toEqual([
      "a session",
      "deployment_day 60",
      "open",
      "user_day 60",
      "user_month 60",
    ]);
  });
});
