import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { deadLetter, session } from "../../src/db/tables.ts";
import { countFailedReturn, idleSandboxes, markReturned } from "../../src/sandboxes/store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, mustClaim, SANDBOX, seedSession, writerOf } from "../harness/seed.ts";

const RETRY_MS = 6 * 3_600_000;

describeEachDatabase("sandboxes that sessions hold", (database) => {
  /** A session whose only prompt runs, and holds a sandbox. */
  const holding = async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const writer = writerOf(database().orm, await mustClaim(database(), promptIds[0] ?? ""));
    await writer.holdSandbox(SANDBOX);
    const idle = async () =>
      (await idleSandboxes(database().orm)).filter((one) => one.sessionId === sessionId);
    return { sessionId, writer, idle, isIdle: async () => (await idle()).length > 0 };
  };

  test("a sandbox is idle once its session's runs have ended; returning it does not touch a later one", async () => {
    const { orm } = database();
    const { sessionId, writer, idle } = await holding();
    expect(await idle()).toEqual([]);
    await writer.finish(COMPLETED);
    expect(await idle()).toEqual([{ sessionId, config: SANDBOX }]);
    await markReturned(orm, sessionId, { ...SANDBOX, id: "22222222-2222-4222-8222-222222222222" });
    expect(await idle()).toHaveLength(1);
    await markReturned(orm, sessionId, SANDBOX);
    expect(await idle()).toEqual([]);
  });

  test("a failed return backs off, then becomes a dead letter, and is left alone", async () => {
    const { orm } = database();
    const { sessionId, writer, isIdle } = await holding();
    await writer.finish(COMPLETED);
    const away = { error: "It is away.", retryMs: RETRY_MS };
    // 2 s, doubled to 512 s, until six hours are over. Five returns had spanned a minute, so that a restart of the allocator
    // made dead letters.
    const last = 51;
    for (let tries = 1; tries <= last; tries += 1) {
      expect(await countFailedReturn(orm, sessionId, SANDBOX, away)).toBe(tries === last);
      expect(await isIdle()).toBe(false);
      const long = sql`now() - interval '1 hour'`;
      await orm.update(session).set({ updatedAt: long }).where(eq(session.id, sessionId));
      expect(await isIdle()).toBe(tries < last);
    }
    const [entry] = await orm.select().from(deadLetter).where(eq(deadLetter.entityId, sessionId));
    expect(entry).toMatchObject({ taskType: "sandbox-return", lastError: "It is away.", retryCount: last });
  });

  // It was neither returned nor given up: more returns had failed than the new limit allows.
  test("a sandbox whose returns failed before RETRY_TRANSIENT_HOURS was lowered is tried once more, then a dead letter", async () => {
    const { orm } = database();
    const { sessionId, writer, isIdle } = await holding();
    await writer.finish(COMPLETED);
    const longAgo = { ipReturnRetryCount: 40, updatedAt: sql`now() - interval '1 hour'` };
    await orm.update(session).set(longAgo).where(eq(session.id, sessionId));
    expect(await isIdle()).toBe(true);
    const away = { error: "It is away.", retryMs: 60_000 };
    // Two pollers may try at the same time.
    const fail = () => countFailedReturn(orm, sessionId, SANDBOX, away);
    expect((await Promise.all([fail(), fail()])).sort()).toEqual([false, true]);
    await orm.update(session).set({ updatedAt: longAgo.updatedAt }).where(eq(session.id, sessionId));
    expect(await isIdle()).toBe(false);
    const entries = await orm.select().from(deadLetter).where(eq(deadLetter.entityId, sessionId));
    expect(entries).toMatchObject([{ retryCount: 41 }]);
  });
});
