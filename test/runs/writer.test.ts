import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { textEvent } from "../../src/agents/events.ts";
import { message } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import {
  COMPLETED,
  EXPIRED_MS,
  mustClaim,
  PROCESS,
  SANDBOX,
  seedRun,
  sessionRow,
  writerOf,
} from "../harness/seed.ts";

describeEachDatabase("a run's writes and their fence", (database) => {
  test("messages are numbered without gaps in the session, also under concurrent appends", async () => {
    const run = await seedRun(database());
    const events = (batch: number) => [0, 1, 2].map((n) => ({ type: "assistant", uuid: `${batch}-${n}` }));
    await Promise.all(
      Array.from({ length: 10 }, (_, batch) => writerOf(database().orm, run).append(events(batch))),
    );
    const rows = await database()
      .orm.select()
      .from(message)
      .where(eq(message.sessionId, run.sessionId))
      .orderBy(message.seq);
    expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
    for (let n = 0; n < 30; n += 3)
      expect(
        new Set(rows.slice(n, n + 3).map(({ data }) => (data as { uuid: string }).uuid.split("-")[0])).size,
      ).toBe(1);
    expect(rows[0]?.data).toMatchObject({ type: "assistant" });
  });

  test("a superseded run's writes change nothing", async () => {
    const { orm } = database();
    const old = await seedRun(database(), { ttlMs: EXPIRED_MS });
    const current = await mustClaim(database(), old.promptId);
    expect(current.epoch).toBe(old.epoch + 1);
    // The first runner died before it started an agent, which is not an attempt.
    expect(current.attempt).toBe(1);
    const superseded = writerOf(orm, old);
    await expect(superseded.append([{ type: "assistant" }])).rejects.toBeInstanceOf(LeaseLost);
    await expect(superseded.holdSandbox(SANDBOX)).rejects.toBeInstanceOf(LeaseLost);
    await expect(superseded.finish(COMPLETED)).rejects.toBeInstanceOf(LeaseLost);
    await expect(superseded.handOver()).rejects.toBeInstanceOf(LeaseLost);
    await writerOf(orm, current).append([{ type: "assistant" }]);
    expect(await sessionRow(database(), old.sessionId)).toMatchObject({
      messageSeq: 1,
      inboxStatus: "Processing",
      sbxConfig: null,
    });
  });

  test("output is stored once, together with its offset, even if the answer is lost", async () => {
    const run = await seedRun(database());
    const writer = writerOf(database().orm, run);
    await writer.append([{ type: "assistant" }], { from: 0, to: 10 });
    // The runner sends it again because the first answer was lost.
    await writer.append([{ type: "assistant" }], { from: 0, to: 10 });
    await writer.append([], { from: 10, to: 12 });
    expect(await sessionRow(database(), run.sessionId)).toMatchObject({ messageSeq: 1 });
    const atAnotherOffset = writer.append([{ type: "assistant" }], { from: 11, to: 20 });
    await expect(atAnotherOffset).rejects.toBeInstanceOf(LeaseLost);
  });

  test("an attempt begins anew once, and what is written from then on belongs to the next one", async () => {
    const { orm } = database();
    const run = await seedRun(database());
    const writer = writerOf(orm, run);
    await writer.beginAnew({ n: 0 });
    await writer.append([{ n: 1 }], { from: 0, to: 10 });
    await writer.beginAnew({ n: 2 });
    await writer.beginAnew({ n: 3 });
    await writer.append([{ n: 4 }], { from: 0, to: 5 });
    const rows = await orm
      .select({ data: message.data, attempt: message.attempt })
      .from(message)
      .where(eq(message.promptId, run.promptId))
      .orderBy(message.seq);
    expect(rows).toEqual([
      { data: { n: 1 }, attempt: 1 },
      { data: { n: 2 }, attempt: 2 },
      { data: { n: 4 }, attempt: 2 },
    ]);
    await writer.handOver();
    await expect(writer.beginAnew({ n: 5 })).rejects.toBeInstanceOf(LeaseLost);
  });

  test("what is to be said once is said once an attempt", async () => {
    const { orm } = database();
    const run = await seedRun(database());
    const writer = writerOf(orm, run);
    await writer.appendOnce(textEvent("a"));
    await writer.appendOnce(textEvent("a"));
    await writer.appendOnce(textEvent("b"));
    await writer.append([], { from: 0, to: 10 });
    await writer.beginAnew(textEvent("again"));
    await writer.appendOnce(textEvent("a"));
    const rows = await orm
      .select({ data: message.data, attempt: message.attempt })
      .from(message)
      .where(eq(message.promptId, run.promptId))
      .orderBy(message.seq);
    const said = rows.map(({ data, attempt }) => [
      (data as { message: { content: { text: string }[] } }).message.content[0]?.text,
      attempt,
    ]);
    expect(said).toEqual([
      ["a", 1],
      ["b", 1],
      ["again", 2],
      ["a", 2],
    ]);
    await writer.handOver();
    await expect(writer.appendOnce(textEvent("a"))).rejects.toBeInstanceOf(LeaseLost);
  });

  test("a resumed agent that writes nothing does not hide what was written before it", async () => {
    const run = await seedRun(database());
    const writer = writerOf(database().orm, run);
    await writer.append([{ n: 1 }], { from: 0, to: 10 });
    await writer.recordProcess(PROCESS);
    await writer.markDelivering(PROCESS);
    await writer.handOver();
    const next = await mustClaim(database(), run.promptId);
    expect(next.outputOffset).toBe(1);
    const nextWriter = writerOf(database().orm, next);
    await nextWriter.beginAnew({ n: 2 });
    await nextWriter.recordProcess(PROCESS);
    await nextWriter.handOver();
    expect((await mustClaim(database(), run.promptId)).outputOffset).toBe(0);
  });
});
