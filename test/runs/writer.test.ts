import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { message } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { renewLeases } from "../../src/runs/claim.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { claimIn, OK, outboxKeys, SANDBOX, sessionRow, TTL } from "./rows.ts";

describeEachDatabase("a run's writes and their fence", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("one of many concurrent runners claims a prompt", async () => {
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

  test("prompts of a session run one at a time, in order, and the end of one dispatches the next", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 2);
    const [first = "", second = ""] = promptIds;
    const { orm } = database();
    expect(await claimRun(orm, second, "me", TTL)).toBeUndefined();
    const run = await claim(first);
    expect(await claimRun(orm, second, "me", TTL)).toBeUndefined();
    await writerOf(orm, run).finish(OK);
    const row = await sessionRow(database(), sessionId);
    expect(row).toMatchObject({ inboxStatus: "Pending" });
    expect(row?.messages).toMatchObject([{ role: "assistant", content: "done", prompt_id: first }]);
    expect(await outboxKeys(database(), second)).toEqual([second]);
    await writerOf(orm, await claim(second)).finish({ ...OK, status: "Failed", error: "why" });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Failed" });
    expect(await claimRun(orm, first, "me", TTL)).toBeUndefined();
  });

  test("messages are numbered without gaps in the session, also under concurrent appends", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const run = await claim(promptIds[0] ?? "");
    const events = (batch: number) => [0, 1, 2].map((n) => ({ type: "assistant", uuid: `${batch}-${n}` }));
    await Promise.all(
      Array.from({ length: 10 }, (_, batch) => writerOf(database().orm, run).append(events(batch))),
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
    expect(writerOf(orm, old).append([{ type: "assistant" }])).rejects.toBeInstanceOf(LeaseLost);
    expect(writerOf(orm, old).holdSandbox(SANDBOX)).rejects.toBeInstanceOf(LeaseLost);
    expect(writerOf(orm, old).finish(OK)).rejects.toBeInstanceOf(LeaseLost);
    expect(writerOf(orm, old).handOver()).rejects.toBeInstanceOf(LeaseLost);
    await writerOf(orm, renewed).append([{ type: "assistant" }]);
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      messageSeq: 1,
      inboxStatus: "Processing",
      sbxConfig: null,
    });
  });

  test("a claim knows the cost of the session's other prompts", async () => {
    const { promptIds } = await seedSession(database(), 3);
    const [first = "", second = "", third = ""] = promptIds;
    const { orm } = database();
    const run = await claim(first);
    expect(run.earlierCostUsd).toBe(0);
    await writerOf(orm, run).finish({ ...OK, usage: { cost_usd: 0.25 } });
    await writerOf(orm, await claim(second)).finish({ ...OK, usage: { turns: 1 } });
    expect((await claim(third)).earlierCostUsd).toBe(0.25);
  });

  test("a heartbeat renews the leases that this runner holds, and no others", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const run = await claimRun(database().orm, promptIds[0] ?? "", "heart", -1000);
    expect(await renewLeases(database().orm, "another", promptIds, TTL)).toEqual(new Map());
    expect(await renewLeases(database().orm, "heart", promptIds, TTL)).toEqual(
      new Map([[promptIds[0] ?? "", { epoch: run?.epoch ?? 0, cancelRequested: false }]]),
    );
    expect(await claimRun(database().orm, promptIds[0] ?? "", "another", TTL)).toBeUndefined();
  });

  test("output is stored once, together with its offset, even if the answer is lost", async () => {
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
});
