import { expect, test } from "bun:test";
import { eq, ne, sql } from "drizzle-orm";
import { deadLetter, prompt, session } from "../../src/db/tables.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { renewLeases } from "../../src/runs/lease-store.ts";
import { deleteSession } from "../../src/sessions/change-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import {
  COMPLETED,
  claimRun,
  FAILURE,
  mustClaim,
  outboxKeys,
  PROCESS,
  seedRun,
  sessionRow,
  TTL_MS,
  writerOf,
} from "../harness/seed.ts";

describeEachDatabase("the end of a run", (database) => {
  test("after a transient failure the prompt waits for its retry, and keeps the failure", async () => {
    const run = await seedRun(database());
    const { promptId, sessionId } = run;
    const { orm } = database();
    await writerOf(orm, run).retry({ delayMs: 600_000, failure: FAILURE });
    const limits = { maxRunning: 9_999, maxRunningPerUser: 9_999 };
    const claimant = { owner: "me", host: "here", ttlMs: TTL_MS, ...limits };
    await orm
      .update(prompt)
      .set({ status: "Cancelled", leaseOwner: null, leaseExpiresAt: null })
      .where(ne(prompt.id, promptId));
    expect(await claimNext(orm, claimant)).toBeUndefined();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    await orm.update(prompt).set({ notBefore: sql`now()` }).where(eq(prompt.id, promptId));
    expect(await claimNext(orm, claimant)).toMatchObject({ promptId, attempt: 2, failures: [FAILURE] });
  });

  // Found by chaos: it waited for ever in a deleted session, whose prompts nobody claims, and the sandbox was never returned.
  test.each([
    ["handed over", (writer: ReturnType<typeof writerOf>) => writer.handOver()],
    ["postponed", (writer: ReturnType<typeof writerOf>) => writer.retry({ delayMs: 0, failure: FAILURE })],
  ])("a run of a session that was deleted meanwhile, and is %s, is over", async (_how, release) => {
    const run = await seedRun(database());
    const { promptId, sessionId } = run;
    const { orm } = database();
    const row = await sessionRow(database(), sessionId);
    await deleteSession(orm, { userId: row?.userId ?? "", id: sessionId });
    await release(writerOf(orm, run));
    const [ended] = await orm.select().from(prompt).where(eq(prompt.id, promptId));
    expect(ended).toMatchObject({ status: "Cancelled", leaseOwner: null, finishedAt: expect.any(Date) });
    const closed = await sessionRow(database(), sessionId);
    expect(closed).toMatchObject({ inboxStatus: "Cancelled", cancellationStatus: "Cancelled" });
  });

  test("a run that was cancelled meanwhile ends as Cancelled", async () => {
    const run = await seedRun(database());
    const { promptId, sessionId } = run;
    const { orm } = database();
    await orm.update(session).set({ cancellationStatus: "Requested" }).where(eq(session.id, sessionId));
    await orm.update(prompt).set({ cancelRequestedAt: sql`now()` }).where(eq(prompt.id, promptId));
    expect((await renewLeases(orm, "me", [promptId], TTL_MS)).get(promptId)).toMatchObject({
      cancelRequested: true,
    });
    await writerOf(orm, run).finish(COMPLETED);
    const row = await sessionRow(database(), sessionId);
    expect(row).toMatchObject({ inboxStatus: "Cancelled", cancellationStatus: "Cancelled" });
    expect(row?.cancelledAt).toBeInstanceOf(Date);
  });

  test("without attempts left: a dead letter with the failures as evidence, and a failed session", async () => {
    const failures = [FAILURE];
    const run = { ...(await seedRun(database())), failures };
    const { promptId, sessionId } = run;
    const { orm } = database();
    const end = {
      ...COMPLETED,
      status: "Failed",
      error: "Given up.",
      errorKind: "transient",
      dead: true,
    } as const;
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

  test("a handover makes the prompt wait again, with a job", async () => {
    const run = await seedRun(database());
    const { promptId, sessionId } = run;
    await writerOf(database().orm, run).handOver();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    // A shutdown is not a failed attempt.
    expect(await mustClaim(database(), promptId)).toMatchObject({ attempt: 1 });
  });

  test("after a detach, runners on the same machine may claim the prompt at once, others later", async () => {
    const { orm } = database();
    const run = await seedRun(database());
    const { promptId } = run;
    const writer = writerOf(orm, run);
    await writer.recordProcess(PROCESS);
    await writer.append([{ type: "assistant" }], { from: 0, to: 17 });
    await writer.detach(60_000);
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    expect(await claimRun(orm, promptId, { owner: "far", host: "elsewhere" })).toBeUndefined();
    expect(await mustClaim(database(), promptId)).toMatchObject({
      process: PROCESS,
      outputOffset: 17,
      epoch: run.epoch + 1,
    });
  });
});
