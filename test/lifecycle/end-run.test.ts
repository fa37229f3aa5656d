import { expect, test } from "bun:test";
import { eq, ne, sql } from "drizzle-orm";
import { deadLetter, prompt, session } from "../../src/db/tables.ts";
import { claimNext, renewLeases } from "../../src/runs/claim.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { claimIn, OK, outboxKeys, sessionRow, TTL } from "../runs/rows.ts";

describeEachDatabase("the end of a run", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("a transient failure: the prompt waits for its retry, and keeps the failure", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const failure = {
      attempt: 1,
      at: new Date().toISOString(),
      kind: "transient",
      error: "No net.",
    } as const;
    await writerOf(orm, await claim(promptId)).postpone({ delayMs: 600_000, failure, countsAsAttempt: true });
    const limits = { maxRunning: 9_999, maxRunningPerUser: 9_999 };
    const claimant = { owner: "me", host: "here", ttlMs: TTL, ...limits };
    await orm
      .update(prompt)
      .set({ status: "Cancelled", leaseOwner: null, leaseExpiresAt: null })
      .where(ne(prompt.id, promptId));
    expect(await claimNext(orm, claimant)).toBeUndefined();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    await orm.update(prompt).set({ notBefore: sql`now()` }).where(eq(prompt.id, promptId));
    expect(await claimNext(orm, claimant)).toMatchObject({ promptId, attempt: 2, failures: [failure] });
  });

  test("a run that was cancelled meanwhile ends as Cancelled", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const run = await claim(promptId);
    await orm.update(session).set({ cancellationStatus: "Requested" }).where(eq(session.id, sessionId));
    await orm.update(prompt).set({ cancelRequestedAt: sql`now()` }).where(eq(prompt.id, promptId));
    expect((await renewLeases(orm, "me", promptIds, TTL)).get(promptId)).toMatchObject({
      cancelRequested: true,
    });
    await writerOf(orm, run).finish(OK);
    const row = await sessionRow(database(), sessionId);
    expect(row).toMatchObject({ inboxStatus: "Cancelled", cancellationStatus: "Cancelled" });
    expect(row?.cancelledAt).toBeInstanceOf(Date);
  });

  test("attempts exhausted: a dead letter with the failures as evidence, and a failed session", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const failures = [
      { attempt: 1, at: new Date().toISOString(), kind: "transient", error: "No net." } as const,
    ];
    const run = { ...(await claim(promptId)), failures };
    const end = { ...OK, status: "Failed", error: "Given up.", errorKind: "transient", dead: true } as const;
    await writerOf(orm, run).finish(end);
    const [entry] = await orm.select().from(deadLetter).where(eq(deadLetter.entityId, promptId));
    expect(entry).toMatchObject({
      taskType: "prompt-run",
      kind: "transient",
      userId: "alice",
      lastError: "Given up.",
      status: "Pending",
      entityData: { session_id: sessionId, failures },
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      sessionStatus: "Failed",
      inboxStatus: "Failed",
    });
  });

  test("handed over: the prompt waits again and has a job", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    await writerOf(database().orm, await claim(promptId)).handOver();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    // A shutdown is no failed attempt.
    expect(await claim(promptId)).toMatchObject({ attempt: 1 });
  });

  test("detached: the next runner of the same machine may claim it at once, others later", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const run = await claim(promptId);
    const process = { host: "here", id: crypto.randomUUID(), pid: 1, started: 2, boot: "b" };
    await writerOf(orm, run).recordProcess(process);
    await writerOf(orm, run).append([{ type: "assistant" }], { from: 0, to: 17 });
    await writerOf(orm, run).detach(60_000);
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    expect(await claimRun(orm, promptId, "far", TTL, "elsewhere")).toBeUndefined();
    expect(await claim(promptId)).toMatchObject({ process, outputOffset: 17, epoch: run.epoch + 1 });
  });
});
