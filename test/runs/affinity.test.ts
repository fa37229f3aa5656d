import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { deleteHeartbeats } from "../../src/db/heartbeats.ts";
import { taskHeartbeat } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { redispatch } from "../../src/lifecycle/dispatch.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, seedSession, sessionRow, writerOf } from "../harness/seed.ts";
import { AFFINITY_MS, warmMachines } from "./warm-machines.ts";

describeEachDatabase("affinity", (database) => {
  const { claim, claimed, alive, change, warm } = warmMachines(database);

  test("the machine that ran a prompt is given the session's next one, which others wait for", async () => {
    const { orm } = database();
    const { promptIds, sessionId } = await seedSession(database(), 2);
    const run = (await claim("A")) as ClaimedRun;
    expect(run.warmHost).toBeNull();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ warmHost: "A" });
    await writerOf(orm, run).finish(COMPLETED);
    const held = (await claim("B")) as { heldMs: number };
    expect(held.heldMs).toBeGreaterThan(AFFINITY_MS - 60_000);
    expect(held.heldMs).toBeLessThanOrEqual(AFFINITY_MS);
    expect(await claim("A")).toMatchObject({ promptId: promptIds[1], warmHost: "A" });
  });

  test("after AFFINITY_MS another machine takes it, and has it warm from then on", async () => {
    const { promptIds, sessionId } = await warm("A");
    await change({ dispatchedAt: sql`now() - interval '1990 milliseconds'` }, promptIds[0]);
    const { heldMs } = (await claim("B", 3_000)) as { heldMs: number };
    expect(heldMs).toBeGreaterThan(0);
    expect(heldMs).toBeLessThanOrEqual(1_010);
    await change({ dispatchedAt: sql`now() - interval '3 seconds'` }, promptIds[0]);
    expect(await claim("B", 3_000)).toMatchObject({ promptId: promptIds[0], warmHost: "A" });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ warmHost: "B" });
  });

  test("a retry is held back from the end of its delay; a job that is passed on does not prolong that", async () => {
    const { orm } = database();
    const { promptIds } = await warm("A");
    const hourAgo = sql`now() - interval '1 hour'`;
    await change({ dispatchedAt: hourAgo, notBefore: sql`now() - interval '10 milliseconds'` }, promptIds[0]);
    expect(await claim("B")).toHaveProperty("heldMs");
    await change({ notBefore: hourAgo }, promptIds[0]);
    await redispatch(orm, String(promptIds[0]));
    expect(await claimed("B")).toBe(promptIds[0]);
  });

  test("nobody waits for a machine that is dead or runs no prompts, nor if AFFINITY_MS is 0", async () => {
    const { orm } = database();
    const deaths: (() => Promise<unknown>)[] = [
      () => orm.update(taskHeartbeat).set({ beatenAt: sql`now() - interval '31 seconds'` }),
      () => deleteHeartbeats(orm, "A"),
      () => orm.update(taskHeartbeat).set({ task: "retention" }),
    ];
    for (const die of deaths) {
      await Promise.all([alive("A"), alive("B")]);
      const { promptIds } = await warm("A");
      expect(await claim("B")).toHaveProperty("heldMs");
      await die();
      expect(await claimed("B")).toBe(promptIds[0]);
      await orm.delete(taskHeartbeat);
    }
    await alive("A");
    const { promptIds } = await warm("A");
    expect(await claimed("B", 0)).toBe(promptIds[0]);
  });

  test("an abandoned run is taken over without waiting", async () => {
    const { promptIds } = await warm("A");
    await claim("A");
    await database().orm.update(prompt).set({ leaseExpiresAt: sql`now() - interval '1 minute'` });
    expect(await claimed("B")).toBe(promptIds[0]);
  });

  test("prompts start in the same order with and without affinity, among users and priorities", async () => {
    const { orm } = database();
    /** The order in which two machines start the prompts; who is told to wait looks on until it may claim. */
    const order = async (affinityMs: number) => {
      await orm.delete(session);
      const names = new Map<string, string>();
      for (const [index, host] of ["A", "B", "C", "B", "A", null, "A", "B"].entries()) {
        const seeded = await seedSession(database(), 1);
        const userId = `user ${index % 3}`;
        const id = String(seeded.promptIds[0]);
        names.set(id, `${userId}, ${index}`);
        await orm.update(session).set({ userId, warmHost: host }).where(eq(session.id, seeded.sessionId));
        await orm
          .update(prompt)
          .set({ userId, priority: index % 2 })
          .where(eq(prompt.id, id));
      }
      const started: (string | undefined)[] = [];
      let waits = 0;
      for (let turn = 0; started.length < 8 && turn < 50; turn += 1) {
        const run = await claim(turn % 2 === 0 ? "A" : "B", affinityMs);
        if (run && run !== "reserved" && "promptId" in run) started.push(names.get(run.promptId));
        else waits += 1;
      }
      return { started, waits };
    };
    const without = await order(0);
    const withAffinity = await order(AFFINITY_MS);
    expect(without).toMatchObject({ waits: 0 });
    expect(withAffinity.waits).toBeGreaterThan(0);
    expect(withAffinity.started).toEqual(without.started);
    expect(withAffinity.started).toHaveLength(8);
  });
});
