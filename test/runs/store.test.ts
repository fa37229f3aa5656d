import { expect, test } from "bun:test";
import { eq, ne, sql } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { deadLetter, message, outbox, prompt, session } from "../../src/db/tables.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { requestCancel } from "../../src/runs/cancel-store.ts";
import { claimNext, costOfOthers, renewLeases, rescueForgotten } from "../../src/runs/claim-store.ts";
import { detachRun, finishRun, handOver, postponeRun } from "../../src/runs/end-store.ts";
import { closeCancelled, remindOfCancellations } from "../../src/runs/enforce-store.ts";
import { type ClaimedRun, LeaseLost } from "../../src/runs/run.ts";
import { appendMessages, holdSandbox, recordProcess } from "../../src/runs/store.ts";
import { countFailedReturn, idleSandboxes, MAX_RETURNS, markReturned } from "../../src/sandboxes/store.ts";
import { claimRun, describeEachDatabase, seedSession } from "../harness/databases.ts";
import { until } from "../harness/until.ts";

const TTL = 60_000;
const OK = {
  status: "Completed",
  error: null,
  errorKind: null,
  usage: { turns: 2 },
  content: "done",
} as const;
const SANDBOX = { provider: "local", id: "11111111-1111-4111-8111-111111111111", host: "here" } as const;

describeEachDatabase("the life of a run", (database) => {
  const claim = async (promptId: string, ttl = TTL): Promise<ClaimedRun> => {
    const run = await claimRun(database().orm, promptId, "me", ttl);
    if (!run) throw new Error("not claimed");
    return run;
  };

  test("of many runners that want a prompt, one gets it", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, n) => claimRun(database().orm, promptId, `runner ${n}`, TTL)),
    );
    const won = claims.filter((run) => run !== undefined);
    expect(won).toHaveLength(1);
    expect(won[0]).toMatchObject({
      promptId,
      sessionId,
      epoch: 1,
      attempt: 1,
      data: "prompt 1",
      sbxConfig: null,
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Processing" });
  });

  test("prompts of a session run one at a time, in order, and the end of one sends the next", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 2);
    const [first = "", second = ""] = promptIds;
    const { orm } = database();
    expect(await claimRun(orm, second, "me", TTL)).toBeUndefined();
    const run = await claim(first);
    expect(await claimRun(orm, second, "me", TTL)).toBeUndefined();
    await finishRun(orm, run, OK);
    const row = await sessionRow(database(), sessionId);
    expect(row).toMatchObject({ inboxStatus: "Pending" });
    expect(row?.messages).toMatchObject([{ role: "assistant", content: "done", prompt_id: first }]);
    expect(await outboxKeys(database(), second)).toEqual([second]);
    await finishRun(orm, await claim(second), { ...OK, status: "Failed", error: "why" });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Failed" });
    expect(await claimRun(orm, first, "me", TTL)).toBeUndefined();
  });

  test("messages are numbered without gaps over the whole session, also when appended at once", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const run = await claim(promptIds[0] ?? "");
    const events = (batch: number) => [0, 1, 2].map((n) => ({ type: "assistant", uuid: `${batch}-${n}` }));
    await Promise.all(
      Array.from({ length: 10 }, (_, batch) => appendMessages(database().orm, run, events(batch))),
    );
    const rows = await database()
      .orm.select()
      .from(message)
      .where(eq(message.sessionId, sessionId))
      .orderBy(message.seq);
    expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
    for (let n = 0; n < 30; n += 3)
      expect(
        new Set(rows.slice(n, n + 3).map(({ data }) => (data as { uuid: string }).uuid.split("-")[0])).size,
      ).toBe(1);
    expect(rows[0]?.data).toMatchObject({ type: "assistant" });
  });

  test("a superseded run's writes change nothing", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const old = await claim(promptId, -1000);
    const renewed = await claim(promptId);
    expect(renewed.epoch).toBe(old.epoch + 1);
    // Its runner died before it had started an agent: that was no attempt.
    expect(renewed.attempt).toBe(1);
    expect(appendMessages(orm, old, [{ type: "assistant" }])).rejects.toBeInstanceOf(LeaseLost);
    expect(holdSandbox(orm, old, SANDBOX)).rejects.toBeInstanceOf(LeaseLost);
    expect(finishRun(orm, old, OK)).rejects.toBeInstanceOf(LeaseLost);
    expect(handOver(orm, old)).rejects.toBeInstanceOf(LeaseLost);
    await appendMessages(orm, renewed, [{ type: "assistant" }]);
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      messageSeq: 1,
      inboxStatus: "Processing",
      sbxConfig: null,
    });
  });

  test("the cost of a session's other prompts is known, so that each prompt has its own", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 3);
    const [first = "", second = "", third = ""] = promptIds;
    await finishRun(database().orm, await claim(first), { ...OK, usage: { cost_usd: 0.25 } });
    await finishRun(database().orm, await claim(second), { ...OK, usage: { turns: 1 } });
    expect(await costOfOthers(database().orm, { promptId: third, sessionId })).toBe(0.25);
    expect(await costOfOthers(database().orm, { promptId: first, sessionId })).toBe(0);
  });

  test("a heartbeat renews what this runner holds, and only that", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const run = await claimRun(database().orm, promptIds[0] ?? "", "heart", -1000);
    expect(await renewLeases(database().orm, "another", promptIds, TTL)).toEqual(new Map());
    expect(await renewLeases(database().orm, "heart", promptIds, TTL)).toEqual(
      new Map([[promptIds[0] ?? "", { epoch: run?.epoch ?? 0, cancelRequested: false }]]),
    );
    expect(await claimRun(database().orm, promptIds[0] ?? "", "another", TTL)).toBeUndefined();
  });

  test("a runner that dies with an agent at work has made an attempt", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const run = await claim(promptIds[0] ?? "", -1000);
    await recordProcess(database().orm, run, {
      host: "here",
      id: crypto.randomUUID(),
      pid: 1,
      started: 2,
      boot: "b",
    });
    expect(await claim(run.promptId)).toMatchObject({ attempt: 2 });
  });

  test("a lease that its runner has given up runs out, whatever else that runner holds", async () => {
    const { orm } = database();
    const [given, kept] = [await seedSession(database(), 1), await seedSession(database(), 1)].map(
      ({ promptIds }) => promptIds[0] ?? "",
    );
    for (const id of [given, kept]) await claimRun(orm, id ?? "", "heart", TTL);
    await orm.update(prompt).set({ leaseExpiresAt: sql`now() - interval '1 second'` });
    await renewLeases(orm, "heart", [kept ?? ""], TTL);
    expect(await claimRun(orm, given ?? "", "another", TTL)).toMatchObject({ epoch: 2 });
  });

  test("a machine has a moment more for its own agents, and longer for work on its way", async () => {
    const { orm } = database();
    const at = async (seconds: number, delivering: boolean, host: string) => {
      const { promptIds } = await seedSession(database(), 1);
      const run = await claim(promptIds[0] ?? "", -seconds * 1000);
      const process = { host: "there", id: crypto.randomUUID(), pid: 1, started: 2, boot: "b", delivering };
      await recordProcess(orm, run, process);
      return (await claimRun(orm, run.promptId, "next", TTL, host)) !== undefined;
    };
    expect(await at(1, false, "there")).toBe(true);
    expect(await at(1, false, "elsewhere")).toBe(false);
    expect(await at(4, false, "elsewhere")).toBe(true);
    expect(await at(4, true, "there")).toBe(true);
    expect(await at(30, true, "elsewhere")).toBe(false);
    expect(await at(61, true, "elsewhere")).toBe(true);
  });

  test("handed over, a prompt waits again and has a job", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    await handOver(database().orm, await claim(promptId));
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    // A shutdown is no failed attempt.
    expect(await claim(promptId)).toMatchObject({ attempt: 1 });
  });

  test("left to the next runner of its machine, which may have it at once, others later", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const run = await claim(promptId);
    const process = { host: "here", id: crypto.randomUUID(), pid: 1, started: 2, boot: "b" };
    await recordProcess(orm, run, process);
    await appendMessages(orm, run, [{ type: "assistant" }], { from: 0, to: 17 });
    await detachRun(orm, run, 60_000);
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    expect(await claimRun(orm, promptId, "far", TTL, "elsewhere")).toBeUndefined();
    expect(await claim(promptId)).toMatchObject({ process, outputOffset: 17, epoch: run.epoch + 1 });
  });

  test("output is stored once, with how far it goes, also when the answer got lost", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    const run = await claim(promptIds[0] ?? "");
    await appendMessages(orm, run, [{ type: "assistant" }], { from: 0, to: 10 });
    // Sent again by a runner that never heard of its success.
    await appendMessages(orm, run, [{ type: "assistant" }], { from: 0, to: 10 });
    await appendMessages(orm, run, [], { from: 10, to: 12 });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ messageSeq: 1 });
    const elsewhere = appendMessages(orm, run, [{ type: "assistant" }], { from: 11, to: 20 });
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
    await postponeRun(orm, await claim(promptId), { delayMs: 600_000, failure, countsAsAttempt: true });
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
    await finishRun(orm, run, OK);
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
    await finishRun(orm, run, end);
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
    await finishRun(orm, run, OK);
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

  test("a sandbox that cannot be given back: later each time, then a dead letter, then left alone", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    const run = await claim(promptIds[0] ?? "");
    await holdSandbox(orm, run, SANDBOX);
    await finishRun(orm, run, OK);
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
    expect(finishRun(orm, run, OK)).rejects.toBeInstanceOf(LeaseLost);
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
    expect(await rescueForgotten(orm, 30_000)).toBe(2);
    expect(await rescueForgotten(orm, 30_000)).toBe(0);
    const keys = async (seeded: { promptIds: string[] }) =>
      (await Promise.all(seeded.promptIds.map((id) => outboxKeys(database(), id)))).flat();
    expect(await keys(waiting)).toEqual([waiting.promptIds[0] ?? ""]);
    expect(await keys(dead)).toEqual(dead.promptIds);
    expect(await keys(running)).toEqual([]);
    expect(await keys(fresh)).toEqual([]);
    // Still to be published: the publisher carries it.
    await orm.update(prompt).set({ dispatchedAt: old }).where(eq(prompt.sessionId, waiting.sessionId));
    expect(await rescueForgotten(orm, 30_000)).toBe(0);
    // Published and lost again: the same row is sent once more.
    await orm.update(outbox).set({ publishedAt: sql`now()` });
    await orm.update(prompt).set({ dispatchedAt: old }).where(eq(prompt.sessionId, waiting.sessionId));
    expect(await rescueForgotten(orm, 30_000)).toBe(1);
    expect(await keys(waiting)).toEqual([waiting.promptIds[0] ?? ""]);
  });

  test("a sandbox is given back when its session rests, and never the one that came after", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    const idle = async () => (await idleSandboxes(orm)).filter((one) => one.sessionId === sessionId);
    const run = await claim(promptIds[0] ?? "");
    await holdSandbox(orm, run, SANDBOX);
    expect(await idle()).toEqual([]);
    await finishRun(orm, run, OK);
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
    await handOver(orm, await claim(promptIds[0] ?? ""));
    const claims = await Promise.all([claimOutbox(orm, 10), claimOutbox(orm, 10), claimOutbox(orm, 10)]);
    expect(claims.flat()).toMatchObject([{ topic: "prompt-run", payload: { prompt_id: promptIds[0] } }]);
    await orm.update(outbox).set({ nextAttemptAt: sql`now()` });
    expect(await claimOutbox(orm, 10)).toEqual(claims.flat());
  });
});

async function sessionRow(database: Database, id: string) {
  return (await database.orm.select().from(session).where(eq(session.id, id)))[0];
}

async function outboxKeys(database: Database, key: string) {
  return (await database.orm.select().from(outbox).where(eq(outbox.key, key))).map((row) => row.key);
}
