import { expect, test } from "bun:test";
import { eq, ne, sql } from "drizzle-orm";
import { deadLetter, prompt, session } from "../../src/db/tables.ts";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { claimNext, renewLeases } from "../../src/runs/claim.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { claimIn, OK, sessionRow, TTL } from "./rows.ts";

describeEachDatabase("how runs end", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("output is stored once, with how far it goes, also when the answer got lost", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    const run = await claim(promptIds[0] ?? "");
    await writerOf(orm, run).append([{ type: "assistant" }], { from: 0, to: 10 });
    // Sent again by a runner that never heard of its success.
    await writerOf(orm, run).append([{ type: "assistant" }], { from: 0, to: 10 });
    await writerOf(orm, run).append([], { from: 10, to: 12 });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ messageSeq: 1 });
    const elsewhere = writerOf(orm, run).append([{ type: "assistant" }], { from: 11, to: 20 });
    expect(elsewhere).rejects.toBeInstanceOf(LeaseLost);
  });

  test("a failure that may pass: the prompt waits for its time, and remembers", async () => {
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

  test("a run whose user wanted its end meanwhile ends as cancelled", async () => {
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

  test("given up: a dead letter with the failures as evidence, and the session has failed", async () => {
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

  test("cancelled: what waits never starts, what runs is told; again changes nothing; a follow-up runs", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 3);
    const [first = "", second = ""] = promptIds;
    const { orm, listen } = database();
    const told: string[] = [];
    const unlisten = await listen(CHANNELS.cancel, (id) => void told.push(id));
    const cancel = () => orm.transaction((tx) => requestCancel(tx, { sessionId, by: "alice" }));
    const run = await claim(first);
    await cancel();
    await cancel();
    await until(() => told.length === 2 && told.every((id) => id === first), {
      what: "the runner to be told",
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      cancellationStatus: "Requested",
      cancelledBy: "alice",
    });
    await writerOf(orm, run).finish(OK);
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      cancellationStatus: "Cancelled",
      inboxStatus: "Cancelled",
    });
    expect(await claimRun(orm, second)).toBeUndefined();
    const { cancelledAt } = (await sessionRow(database(), sessionId)) ?? {};
    await cancel();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ cancelledAt, inboxStatus: "Cancelled" });
    await unlisten();
  });
});
