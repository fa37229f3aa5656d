import { expect, test } from "bun:test";
import { eq, type SQL } from "drizzle-orm";
import { PgDialect } from "drizzle-orm/pg-core";
import type { Orm } from "../../src/db/client.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, TTL_MS, writerOf } from "../harness/seed.ts";

const CLAIMANT = { owner: "me", host: "here", ttlMs: TTL_MS, maxRunning: 100, maxRunningPerUser: 100 };

describeEachDatabase("fairness of claims", (database) => {
  const claim = (limits: { maxRunning?: number; maxRunningPerUser?: number } = {}) =>
    claimNext(database().orm, { ...CLAIMANT, ...limits });
  /** Creates sessions of a user, each with one prompt of this priority. */
  const submit = async (userId: string, count: number, priority = 0) => {
    const rows = Array.from({ length: count }, () => ({
      id: Bun.randomUUIDv7(),
      sessionId: Bun.randomUUIDv7(),
    }));
    const { orm } = database();
    const more = { userId, repo: "o/n", targetBranch: "main", title: "t", promptSeq: 1 };
    await orm
      .insert(session)
      .values(rows.map(({ sessionId }) => ({ id: sessionId, branch: sessionId, ...more })));
    await orm.insert(prompt).values(rows.map((row) => ({ ...row, userId, seq: 1, data: "x", priority })));
    return rows.map(({ id }) => id);
  };
  const clear = () => database().orm.delete(session);

  test("a user with many prompts does not starve a new user", async () => {
    await submit("busy", 200);
    const first = await claim();
    expect(first?.userId).toBe("busy");
    const [own] = await submit("newcomer", 1);
    expect(await claim()).toMatchObject({ promptId: String(own) });
    await clear();
  });

  test("with one slot, users take turns", async () => {
    await submit("a", 3);
    await submit("b", 3);
    const users: (string | undefined)[] = [];
    for (let n = 0; n < 6; n += 1) {
      const run = await claim();
      users.push(run?.userId);
      if (run) await writerOf(database().orm, run).finish(COMPLETED);
    }
    expect([users.slice(0, 2).toSorted(), users.slice(2, 4).toSorted(), users.slice(4).toSorted()]).toEqual(
      Array.from({ length: 3 }, () => ["a", "b"]),
    );
    await clear();
  });

  test("the prompts of one user start by priority, then by age", async () => {
    const [older, newer] = await submit("a", 2);
    const [urgent] = await submit("a", 1, 5);
    const claimed = [await claim(), await claim(), await claim()].map((run) => run?.promptId);
    expect(claimed).toEqual([String(urgent), String(older), String(newer)]);
    await clear();
  });

  test("the limits of the cluster and of one user hold under concurrent claims", async () => {
    await submit("a", 20);
    await submit("b", 20);
    const perUser = (
      await Promise.all(Array.from({ length: 12 }, () => claim({ maxRunningPerUser: 2 })))
    ).filter(Boolean);
    expect(perUser.map((run) => run?.userId).toSorted()).toEqual(["a", "a", "b", "b"]);
    const all = (await Promise.all(Array.from({ length: 12 }, () => claim({ maxRunning: 7 })))).filter(
      Boolean,
    );
    expect(all).toHaveLength(3);
    const running = await database().orm.select().from(prompt).where(eq(prompt.status, "Running"));
    expect(running).toHaveLength(7);
    await clear();
  });

  // The claim relied on the order of a subquery surviving a join, which PostgreSQL does not promise.
  test("the query that chooses a user orders the users itself", async () => {
    const { orm } = database();
    const statements: string[] = [];
    const recording = new Proxy(orm, {
      get: (target, name) =>
        name === "execute"
          ? (statement: SQL) => {
              statements.push(new PgDialect().sqlToQuery(statement).sql);
              return target.execute(statement);
            }
          : Reflect.get(target, name),
    });
    const transaction = (work: (tx: Orm) => Promise<unknown>) => work(recording);
    await claimNext({ transaction } as unknown as Orm, { ...CLAIMANT, maxRunning: 0, maxRunningPerUser: 0 });
    expect(statements.at(-1)).toMatch(
      /\) next\s+order by turn\.count, turn\.started_at nulls first limit 1$/,
    );
  });
});
