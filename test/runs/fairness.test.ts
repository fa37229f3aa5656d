import { expect, test } from "bun:test";
import { eq, type SQL } from "drizzle-orm";
import { PgDialect } from "drizzle-orm/pg-core";
import type { Orm } from "../../src/db/client.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { describeEachDatabase, writerOf } from "../harness/databases.ts";

const OK = { status: "Completed", error: null, errorKind: null, usage: {}, content: "" } as const;

describeEachDatabase("fairness of claims", (database) => {
  const claim = (more: { maxRunning?: number; maxRunningPerUser?: number } = {}) => {
    const limits = { maxRunning: 100, maxRunningPerUser: 100, ...more };
    return claimNext(database().orm, { owner: "me", host: "here", ttlMs: 60_000, ...limits });
  };
  /** Sessions of a user, each with one prompt of this priority. */
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

  test("one user's many prompts do not starve another's first", async () => {
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
      if (run) await writerOf(database().orm, run).finish(OK);
    }
    expect([users.slice(0, 2).toSorted(), users.slice(2, 4).toSorted(), users.slice(4).toSorted()]).toEqual(
      Array.from({ length: 3 }, () => ["a", "b"]),
    );
    await clear();
  });

  test("among one user's prompts: higher priority first, then older first", async () => {
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

  // It relied on a subquery's order surviving a join, which PostgreSQL does not promise.
  test("the order of users is asked for where one of them is chosen", async () => {
    const { orm } = database();
    const statements: string[] = [];
    const listening = new Proxy(orm, {
      get: (target, name) =>
        name === "execute"
          ? (statement: SQL) => {
              statements.push(new PgDialect().sqlToQuery(statement).sql);
              return target.execute(statement);
            }
          : Reflect.get(target, name),
    });
    const transaction = (work: (tx: Orm) => Promise<unknown>) => work(listening);
    const limits = { maxRunning: 0, maxRunningPerUser: 0 };
    const claimant = { owner: "me", host: "here", ttlMs: 60_000, ...limits };
    await claimNext({ transaction } as unknown as Orm, claimant);
    expect(statements.at(-1)).toMatch(
      /\) next\s+order by turn\.count, turn\.started_at nulls first limit 1$/,
    );
  });
});
