import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { outbox } from "../../src/db/service-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { redispatchLost } from "../../src/lifecycle/dispatch.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun, EXPIRED_MS, outboxKeys, seedSession } from "../harness/seed.ts";

describeEachDatabase("redispatching lost jobs", (database) => {
  test("prompts without a job are dispatched again, once, and no others", async () => {
    const { orm } = database();
    await orm.update(prompt).set({ status: "Completed", leaseOwner: null, leaseExpiresAt: null });
    const anHourAgo = sql`now() - interval '1 hour'`;
    const waiting = await seedSession(database(), 2);
    const running = await seedSession(database(), 1);
    const dead = await seedSession(database(), 1);
    const fresh = await seedSession(database(), 1);
    await claimRun(orm, running.promptIds[0] ?? "");
    await claimRun(orm, dead.promptIds[0] ?? "", { ttlMs: EXPIRED_MS });
    for (const { sessionId } of [waiting, running, dead])
      await orm.update(prompt).set({ dispatchedAt: anHourAgo }).where(eq(prompt.sessionId, sessionId));
    expect(await redispatchLost(orm, 30_000)).toBe(2);
    expect(await redispatchLost(orm, 30_000)).toBe(0);
    const keys = async (seeded: { promptIds: string[] }) =>
      (await Promise.all(seeded.promptIds.map((id) => outboxKeys(database(), id)))).flat();
    expect(await keys(waiting)).toEqual([waiting.promptIds[0] ?? ""]);
    expect(await keys(dead)).toEqual(dead.promptIds);
    expect(await keys(running)).toEqual([]);
    expect(await keys(fresh)).toEqual([]);
    // Its outbox row is not published yet: the publisher will.
    await orm.update(prompt).set({ dispatchedAt: anHourAgo }).where(eq(prompt.sessionId, waiting.sessionId));
    expect(await redispatchLost(orm, 30_000)).toBe(0);
    // Published and lost again: the same row is published once more.
    await orm.update(outbox).set({ publishedAt: sql`now()` });
    await orm.update(prompt).set({ dispatchedAt: anHourAgo }).where(eq(prompt.sessionId, waiting.sessionId));
    expect(await redispatchLost(orm, 30_000)).toBe(1);
    expect(await keys(waiting)).toEqual([waiting.promptIds[0] ?? ""]);
  });
});
