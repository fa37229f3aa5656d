import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import {
  COMPLETED,
  claimRun,
  EXPIRED_MS,
  mustClaim,
  outboxKeys,
  PROCESS,
  promptRow,
  seedPrompt,
  seedRun,
  seedSession,
  sessionRow,
  writerOf,
} from "../harness/seed.ts";

describeEachDatabase("claims", (database) => {
  test("one of many concurrent runners claims a prompt", async () => {
    const { promptId, sessionId } = await seedPrompt(database());
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, n) => claimRun(database().orm, promptId, { owner: `runner ${n}` })),
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

  test("a run knows with which commit its session's work began", async () => {
    const { promptIds } = await seedSession(database(), 2);
    const [first = "", second = ""] = promptIds;
    const startCommit = "b".repeat(40);
    await database().orm.update(prompt).set({ startCommit }).where(eq(prompt.id, second));
    expect(await mustClaim(database(), first)).toMatchObject({ began: startCommit });
    const { promptId } = await seedPrompt(database());
    expect(await mustClaim(database(), promptId)).toMatchObject({ began: null });
  });

  test("prompts of a session run one at a time, in order, and the end of one dispatches the next", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 2);
    const [first = "", second = ""] = promptIds;
    const { orm } = database();
    expect(await claimRun(orm, second)).toBeUndefined();
    const run = await mustClaim(database(), first);
    expect(await claimRun(orm, second)).toBeUndefined();
    await writerOf(orm, run).finish(COMPLETED);
    const row = await sessionRow(database(), sessionId);
    expect(row).toMatchObject({ inboxStatus: "Pending" });
    expect(row?.messages).toMatchObject([{ role: "assistant", content: "done", prompt_id: first }]);
    expect(await outboxKeys(database(), second)).toEqual([second]);
    const end = { ...COMPLETED, status: "Failed", error: "why" } as const;
    await writerOf(orm, await mustClaim(database(), second)).finish(end);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Failed" });
    expect(await claimRun(orm, first)).toBeUndefined();
  });

  test("a claim has the cost of the session's other prompts", async () => {
    const { promptIds } = await seedSession(database(), 3);
    const [first = "", second = "", third = ""] = promptIds;
    const { orm } = database();
    const run = await mustClaim(database(), first);
    expect(run.earlierCostUsd).toBe(0);
    await writerOf(orm, run).finish({ ...COMPLETED, usage: { cost_usd: 0.25 } });
    const next = await mustClaim(database(), second);
    await writerOf(orm, next).finish({ ...COMPLETED, usage: { turns: 1 } });
    expect((await mustClaim(database(), third)).earlierCostUsd).toBe(0.25);
  });

  test("a runner that dies while its agent works has used an attempt", async () => {
    const run = await seedRun(database(), { ttlMs: EXPIRED_MS });
    await writerOf(database().orm, run).recordProcess(PROCESS);
    expect(await mustClaim(database(), run.promptId)).toMatchObject({ attempt: 2 });
  });

  // Found by chaos: a prompt was given up after five attempts, though its agent was not started more than once.
  test("runners that die before they have adopted an agent have used no more attempts", async () => {
    const run = await seedRun(database(), { ttlMs: EXPIRED_MS });
    await writerOf(database().orm, run).recordProcess(PROCESS);
    for (let claims = 0; claims < 5; claims += 1)
      expect(await mustClaim(database(), run.promptId, { ttlMs: EXPIRED_MS })).toMatchObject({
        attempt: 2,
        process: PROCESS,
      });
    const last = await mustClaim(database(), run.promptId);
    await writerOf(database().orm, last).markAdopted(PROCESS);
    expect(await promptRow(database(), run.promptId)).toMatchObject({ attempt: 1, process: PROCESS });
  });

  test("the agent's own machine may take over first; during delivery, other machines wait even longer", async () => {
    const { orm } = database();
    const canTakeOver = async (expiredSeconds: number, delivering: boolean, host: string) => {
      const run = await seedRun(database(), { ttlMs: -expiredSeconds * 1000 });
      await writerOf(orm, run).recordProcess({ ...PROCESS, host: "there", delivering });
      return (await claimRun(orm, run.promptId, { owner: "next", host })) !== undefined;
    };
    expect(await canTakeOver(1, false, "there")).toBe(true);
    expect(await canTakeOver(1, false, "elsewhere")).toBe(false);
    expect(await canTakeOver(4, false, "elsewhere")).toBe(true);
    expect(await canTakeOver(4, true, "there")).toBe(true);
    expect(await canTakeOver(30, true, "elsewhere")).toBe(false);
    expect(await canTakeOver(61, true, "elsewhere")).toBe(true);
  });
});
