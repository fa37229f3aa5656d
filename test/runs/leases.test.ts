import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { renewLeases } from "../../src/runs/claim.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { claimIn, outboxKeys, sessionRow, TTL } from "./rows.ts";

describeEachDatabase("leases, and who may have a run next", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("a runner that dies with an agent at work has made an attempt", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const run = await claim(promptIds[0] ?? "", -1000);
    await writerOf(database().orm, run).recordProcess({
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
      await writerOf(orm, run).recordProcess(process);
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
    await writerOf(database().orm, await claim(promptId)).handOver();
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
    await writerOf(orm, run).recordProcess(process);
    await writerOf(orm, run).append([{ type: "assistant" }], { from: 0, to: 17 });
    await writerOf(orm, run).detach(60_000);
    expect(await outboxKeys(database(), promptId)).toEqual([promptId]);
    expect(await claimRun(orm, promptId, "far", TTL, "elsewhere")).toBeUndefined();
    expect(await claim(promptId)).toMatchObject({ process, outputOffset: 17, epoch: run.epoch + 1 });
  });
});
