import { expect, test } from "bun:test";
import { asc, eq, sql } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { message } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { EXPIRED_MS, mustClaim, promptRow, seedRun, writerOf } from "../harness/seed.ts";

const event = (n: number) => ({ type: "assistant", n });
const progressOf = (n: number) => ({ from: n, to: n + 1 });

describeEachDatabase("what several agents print at a time", (database) => {
  const seqsAndEvents = async (sessionId: string) => {
    const rows = await database()
      .orm.select()
      .from(message)
      .where(eq(message.sessionId, sessionId))
      .orderBy(asc(message.seq));
    return rows.map(({ seq, data }) => [seq, (data as { n: number }).n]);
  };
  const seedRuns = async (count: number) => {
    const runs = [];
    for (let n = 0; n < count; n += 1) runs.push(await seedRun(database()));
    return runs;
  };
  /** The same database, and how many statements it was given. */
  const counting = () => {
    const { orm } = database();
    const counted = { statements: 0 };
    const execute: Orm["execute"] = (statement) => {
      counted.statements += 1;
      return orm.execute(statement);
    };
    return {
      counted,
      orm: new Proxy(orm, {
        get: (target, name) => (name === "execute" ? execute : Reflect.get(target, name)),
      }),
    };
  };

  test("is stored by two statements: the first one's, and one for all who came meanwhile", async () => {
    const runs = await seedRuns(20);
    const { orm, counted } = counting();
    await Promise.all(runs.map((run) => writerOf(orm, run).append([event(1), event(2)], progressOf(0))));
    expect(counted.statements).toBe(2);
    for (const { sessionId } of runs)
      expect(await seqsAndEvents(sessionId)).toEqual([
        [1, 1],
        [2, 2],
      ]);
  });

  test("is numbered in the order of each", async () => {
    const runs = await seedRuns(5);
    const { orm } = database();
    await Promise.all(
      runs.map(async (run) => {
        const writer = writerOf(orm, run);
        for (let n = 0; n < 10; n += 1) await writer.append([event(n)], progressOf(n));
      }),
    );
    for (const { sessionId, promptId } of runs) {
      expect(await seqsAndEvents(sessionId)).toEqual(Array.from({ length: 10 }, (_, n) => [n + 1, n]));
      expect((await promptRow(database(), promptId)).outputOffset).toBe(10);
    }
  });

  test("of a superseded run is refused, while that of the others is stored", async () => {
    const { orm } = database();
    const old = await seedRun(database(), { ttlMs: EXPIRED_MS });
    await mustClaim(database(), old.promptId);
    const runs = await seedRuns(3);
    const all = [runs[0], old, runs[1], runs[2]].flatMap((run) => run ?? []);
    const results = await Promise.allSettled(
      all.map((run) => writerOf(orm, run).append([event(1)], progressOf(0))),
    );
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect(results[1]).toMatchObject({ reason: expect.any(LeaseLost) });
    expect(await seqsAndEvents(old.sessionId)).toEqual([]);
    for (const { sessionId } of runs) expect(await seqsAndEvents(sessionId)).toEqual([[1, 1]]);
  });

  test("with an event that the database refuses does not fail that of the others", async () => {
    const { orm } = database();
    const runs = await seedRuns(4);
    const results = await Promise.allSettled(
      runs.map((run, n) =>
        // PostgreSQL has no text with this character.
        writerOf(orm, run).append([n === 2 ? { type: "\u0000", n } : event(1)], progressOf(0)),
      ),
    );
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    for (const [n, { sessionId }] of runs.entries())
      expect(await seqsAndEvents(sessionId)).toEqual(n === 2 ? [] : [[1, 1]]);
  });

  test("is stored once although an answer was lost", async () => {
    const runs = await seedRuns(3);
    const { orm } = database();
    let lost = 0;
    const execute: Orm["execute"] = (async (statement: Parameters<Orm["execute"]>[0]) => {
      const result = await orm.execute(statement);
      if (lost++ < 2) throw Object.assign(new Error("the answer was lost"), { code: "CONNECTION_CLOSED" });
      return result;
    }) as never;
    const losing = new Proxy(orm, {
      get: (target, name) => (name === "execute" ? execute : Reflect.get(target, name)),
    });
    await Promise.all(runs.map((run) => writerOf(losing, run).append([event(1)], progressOf(0))));
    for (const { sessionId } of runs) expect(await seqsAndEvents(sessionId)).toEqual([[1, 1]]);
  });

  test("does not wait for a session that another transaction has locked", async () => {
    const db = database();
    // The embedded database has one connection: no other transaction can be open.
    if (db.kind === "embedded") return;
    const [locked, ...others] = await seedRuns(4);
    if (!locked) throw new Error("no run");
    const { promise: unlocked, resolve: unlock } = Promise.withResolvers<void>();
    const { promise: held, resolve: hold } = Promise.withResolvers<void>();
    const transaction = db.orm.transaction(async (tx) => {
      await tx.execute(sql`select from session where id = ${locked.sessionId}::uuid for update`);
      hold();
      await unlocked;
    });
    await held;
    const waiting = writerOf(db.orm, locked).append([event(1)], progressOf(0));
    try {
      // Twice: together with it, and after it.
      for (const n of [0, 1])
        await Promise.all(others.map((run) => writerOf(db.orm, run).append([event(n)], progressOf(n))));
    } finally {
      unlock();
    }
    await Promise.all([waiting, transaction]);
    expect(await seqsAndEvents(locked.sessionId)).toEqual([[1, 1]]);
  });
});
