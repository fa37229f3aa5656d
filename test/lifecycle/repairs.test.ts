import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { deadLetter, outbox, prompt, session } from "../../src/db/tables.ts";
import { redispatchLost } from "../../src/lifecycle/dispatch.ts";
import { closeCancelled, remindOfCancellations } from "../../src/lifecycle/enforce-cancellations.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { countFailedReturn, idleSandboxes, MAX_RETURNS, markReturned } from "../../src/sandboxes/store.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { claimIn, OK, outboxKeys, SANDBOX, sessionRow, TTL } from "../runs/rows.ts";

describeEachDatabase("what is closed, returned and sent again", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("a sandbox that cannot be given back: later each time, then a dead letter, then left alone", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    const run = await claim(promptIds[0] ?? "");
    await writerOf(orm, run).holdSandbox(SANDBOX);
    await writerOf(orm, run).finish(OK);
    const idle = async () => (await idleSandboxes(orm)).some((one) => one.sessionId === sessionId);
    for (let tries = 1; tries <= MAX_RETURNS; tries += 1) {
      expect(await countFailedReturn(orm, sessionId, SANDBOX, "It is away.")).toBe(tries === MAX_RETURNS);
      expect(await idle()).toBe(false);
      const long = sql`now() - interval '1 minute'`;
      await orm.update(session).set({ updatedAt: long }).where(eq(session.id, sessionId));
      expect(await idle()).toBe(tries < MAX_RETURNS);
    }
    const [entry] = await orm.select().from(deadLetter).where(eq(deadLetter.entityId, sessionId));
    expect(entry).toMatchObject({ taskType: "sandbox-return", lastError: "It is away.", retryCount: 5 });
  });

  test("what nobody closes is closed: its runner is fenced off, and the session says so", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const run = await claim(promptId);
    await orm.update(session).set({ cancellationStatus: "Requested" }).where(eq(session.id, sessionId));
    await orm
      .update(prompt)
      .set({ cancelRequestedAt: sql`now() - interval '90 seconds'` })
      .where(eq(prompt.id, promptId));
    expect(await remindOfCancellations(orm)).toBeGreaterThan(0);
    expect(await closeCancelled(orm, 120_000)).toBe(0);
    expect(await closeCancelled(orm, 60_000)).toBeGreaterThan(0);
    expect(writerOf(orm, run).finish(OK)).rejects.toBeInstanceOf(LeaseLost);
    await until(async () => (await closeCancelled(orm, 60_000)) > 0, {
      what: "the session to be closed too",
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      inboxStatus: "Cancelled",
      cancellationStatus: "Cancelled",
    });
  });

  test("the safety net sends again what nothing carries, once, and leaves the rest alone", async () => {
    const { orm } = database();
    await orm.update(prompt).set({ status: "Completed", leaseOwner: null, leaseExpiresAt: null });
    const old = sql`now() - interval '1 hour'`;
    const waiting = await seedSession(database(), 2);
    const running = await seedSession(database(), 1);
    const dead = await seedSession(database(), 1);
    const fresh = await seedSession(database(), 1);
    await claimRun(orm, running.promptIds[0] ?? "", "me", TTL);
    await claimRun(orm, dead.promptIds[0] ?? "", "me", -1000);
    for (const { sessionId } of [waiting, running, dead])
      await orm.update(prompt).set({ dispatchedAt: old }).where(eq(prompt.sessionId, sessionId));
    expect(await redispatchLost(orm, 30_000)).toBe(2);
    expect(await redispatchLost(orm, 30_000)).toBe(0);
    const keys = async (seeded: { promptIds: string[] }) =>
      (await Promise.all(seeded.promptIds.map((id) => outboxKeys(database(), id)))).flat();
    expect(await keys(waiting)).toEqual([waiting.promptIds[0] ?? ""]);
    expect(await keys(dead)).toEqual(dead.promptIds);
    expect(await keys(running)).toEqual([]);
    expect(await keys(fresh)).toEqual([]);
    // Still to be published: the publisher carries it.
    await orm.update(prompt).set({ dispatchedAt: old }).where(eq(prompt.sessionId, waiting.sessionId));
    expect(await redispatchLost(orm, 30_000)).toBe(0);
    // Published and lost again: the same row is sent once more.
    await orm.update(outbox).set({ publishedAt: sql`now()` });
    await orm.update(prompt).set({ dispatchedAt: old }).where(eq(prompt.sessionId, waiting.sessionId));
    expect(await redispatchLost(orm, 30_000)).toBe(1);
    expect(await keys(waiting)).toEqual([waiting.promptIds[0] ?? ""]);
  });

  test("a sandbox is given back when its session rests, and never the one that came after", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    const idle = async () => (await idleSandboxes(orm)).filter((one) => one.sessionId === sessionId);
    const run = await claim(promptIds[0] ?? "");
    await writerOf(orm, run).holdSandbox(SANDBOX);
    expect(await idle()).toEqual([]);
    await writerOf(orm, run).finish(OK);
    expect(await idle()).toEqual([{ sessionId, config: SANDBOX }]);
    await markReturned(orm, sessionId, { ...SANDBOX, id: "22222222-2222-4222-8222-222222222222" });
    expect(await idle()).toHaveLength(1);
    await markReturned(orm, sessionId, SANDBOX);
    expect(await idle()).toEqual([]);
  });

  test("the outbox gives a row to one publisher, and again later when it was not published", async () => {
    const { orm } = database();
    await orm.update(outbox).set({ publishedAt: sql`now()` });
    const { promptIds } = await seedSession(database(), 1);
    await writerOf(orm, await claim(promptIds[0] ?? "")).handOver();
    const claims = await Promise.all([claimOutbox(orm, 10), claimOutbox(orm, 10), claimOutbox(orm, 10)]);
    expect(claims.flat()).toMatchObject([{ topic: "prompt-run", payload: { prompt_id: promptIds[0] } }]);
    await orm.update(outbox).set({ nextAttemptAt: sql`now()` });
    expect(await claimOutbox(orm, 10)).toEqual(claims.flat());
  });

  test("what is due now is due at once: stored times are rounded up, too", async () => {
    const { orm } = database();
    const { promptIds } = await seedSession(database(), 1);
    await writerOf(orm, await claim(promptIds[0] ?? "")).handOver();
    for (let round = 0; round < 20; round += 1) {
      const claimed = await orm.transaction(async (tx) => {
        await tx.update(outbox).set({ publishedAt: null, nextAttemptAt: sql`now()` });
        return await claimOutbox(tx, 1);
      });
      expect(claimed).toHaveLength(1);
    }
  });
});
