import { beforeEach, describe, expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";

import type { Database } from "../../src/db/client.ts";
import { deleteHeartbeats, writeHeartbeats } from "../../src/db/heartbeats.ts";
import { unpushedWork } from "../../src/db/memory-tables.ts";
import { outbox, prompt, session, taskHeartbeat } from "../../src/db/tables.ts";
import { declineOffer, dispatchNext, redispatch } from "../../src/lifecycle/dispatch.ts";
import { endWait } from "../../src/lifecycle/end-wait.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import type { PromptChange } from "../../src/lifecycle/transitions.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { notifyOutbox } from "../../src/queue/outbox.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { createOffers } from "../../src/runs/offers.ts";
import { createSlots } from "../../src/runs/slots.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, FAILURE, PROCESS, seedSession, sessionRow, TTL_MS, writerOf } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

/** Longer than every test. */
const AFFINITY_MS = 600_000;

describeEachDatabase("affinity", (database) => {
  const claim = (host: string, affinityMs = AFFINITY_MS, lastSlot = false, limits = {}) =>
    claimNext(database().orm, {
      ...{ owner: host, host, ttlMs: TTL_MS, maxRunning: 100, maxRunningPerUser: 100 },
      ...{ affinityMs, lastSlot, ...limits },
    });
  const claimed = async (host: string, affinityMs?: number) =>
    ((await claim(host, affinityMs)) as ClaimedRun | undefined)?.promptId;
  const alive = (host: string) =>
    writeHeartbeats(database().orm, { process: host, host, tasks: ["prompt-runner"] });
  const change = (values: PromptChange, id = "") =>
    database().orm.update(prompt).set(values).where(eq(prompt.id, id));
  /** A session that is warm on a machine, with waiting prompts. */
  const warm = async (host: string, prompts = 1) => {
    const seeded = await seedSession(database(), prompts);
    await database().orm.update(session).set({ warmHost: host }).where(eq(session.id, seeded.sessionId));
    return seeded;
  };

  /** The same without its prompts. */
  const idle = async (host: string | null) => {
    const { sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    await orm.delete(prompt).where(eq(prompt.sessionId, sessionId));
    await orm.update(session).set({ warmHost: host }).where(eq(session.id, sessionId));
    return { sessionId };
  };

  beforeEach(async () => {
    const { orm } = database();
    await orm.delete(session);
    await orm.delete(taskHeartbeat);
    await orm.delete(outbox);
    await Promise.all([alive("A"), alive("B")]);
  });

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

  describe("the offer to the warm machine", () => {
    /** What the machines hear while `work` runs. */
    const offersIn = async (work: () => Promise<unknown>): Promise<string[]> => {
      const heard: string[] = [];
      let ended = false;
      const unlisten = await database().listen(CHANNELS.warmHost, (payload) => void heard.push(payload));
      const unlistenEnd = await database().listen("the_end", () => {
        ended = true;
      });
      await work();
      await database().orm.execute(sql`select pg_notify('the_end', '')`);
      await until(() => ended, { what: "the last notification" });
      await Promise.all([unlisten(), unlistenEnd()]);
      return heard;
    };
    const follow = ({ sessionId }: { sessionId: string }) =>
      database().orm.transaction((tx) =>
        addPrompt(tx, { userId: "alice", sessionId, data: "x", text: "x", priority: 0, maxUnfinished: 99 }),
      );

    test("is the only way to a prompt whose work is on one machine alone, while that is alive; nothing waits behind it", async () => {
      const { orm } = database();
      const { sessionId, promptIds } = await warm("B", 2);
      const [first = "", second = ""] = promptIds;
      await orm.insert(unpushedWork).values({ sessionId, commit: "1".repeat(40), host: "A" });
      const refused = async () => expect(await claim("B", 0)).toBeUndefined();
      expect(await offersIn(refused)).toEqual([`A ${sessionId}`]);
      const other = await seedSession(database(), 1);
      expect(await claimed("B", 0)).toBe(other.promptIds[0]);
      const run = (await claim("A", 0)) as ClaimedRun;
      expect(run).toMatchObject({ promptId: first, unpushedHost: "A" });
      // Wherever the session was warm last.
      await orm.update(session).set({ warmHost: "B" }).where(eq(session.id, sessionId));
      const ended = () => writerOf(orm, run).finish(COMPLETED);
      expect(await offersIn(ended)).toEqual([`A ${sessionId}`]);
      await change({ notBefore: sql`now() + interval '1 hour'` }, second);
      expect(await offersIn(refused)).toEqual([]);
      await change({ notBefore: sql`now()` }, second);
      expect(await offersIn(refused)).toEqual([`A ${sessionId}`]);
      await deleteHeartbeats(orm, "A");
      expect(await claimed("B", 0)).toBe(second);
    });

    // Each machine whose claim found nothing offered to the other one, which claimed in vain and offered back, without end.
    test("is not sent by a claim that found nothing because a limit is reached", async () => {
      const { orm } = database();
      const { sessionId, promptIds } = await warm("A");
      await orm.insert(unpushedWork).values({ sessionId, commit: "1".repeat(40), host: "A" });
      await seedSession(database(), 1);
      expect(await claimed("B", 0)).not.toBe(promptIds[0]);
      const inVain = (limits: { maxRunning?: number; maxRunningPerUser?: number }) => async () =>
        expect(await claim("B", 0, false, limits)).toBeUndefined();
      expect(await offersIn(inVain({ maxRunning: 1 }))).toEqual([]);
      expect(await offersIn(inVain({ maxRunningPerUser: 1 }))).toEqual([]);
      expect(await offersIn(inVain({ maxRunning: 2, maxRunningPerUser: 2 }))).toEqual([`A ${sessionId}`]);
    });

    test("is sent when a follow-up is dispatched, with the host and the session", async () => {
      const seeded = await idle("A");
      expect(await offersIn(() => follow(seeded))).toEqual([`A ${seeded.sessionId}`]);
    });

    test("is not sent for a session that has not run, one that runs, or without other machines", async () => {
      expect(await offersIn(async () => follow(await idle(null)))).toEqual([]);
      const busy = await warm("A", 1);
      expect(await offersIn(() => claim("A"))).toEqual([]);
      expect(await offersIn(() => follow(busy))).toEqual([]);
      await deleteHeartbeats(database().orm, "B");
      expect(await offersIn(async () => follow(await idle("A")))).toEqual([]);
    });

    test("is sent when the prompt before it ends, when its run is handed over, and to end a wait", async () => {
      const { orm } = database();
      const { sessionId } = await warm("A", 2);
      const offer = `A ${sessionId}`;
      const run = (await claim("A")) as ClaimedRun;
      expect(await offersIn(() => writerOf(orm, run).finish(COMPLETED))).toEqual([offer]);
      expect(await offersIn(() => claim("B"))).toEqual([offer]);
      const next = (await claim("A")) as ClaimedRun;
      const again = { delayMs: 60_000, failure: FAILURE };
      expect(await offersIn(() => writerOf(orm, next).retry(again))).toEqual([]);
      await change({ notBefore: sql`now()` }, next.promptId);
      expect(await offersIn(() => orm.transaction((tx) => dispatchNext(tx, sessionId)))).toEqual([offer]);
    });

    // Its job came to another machine, which may not go on with it: the work in the sandbox waited there until that one could
    // only begin anew, or report an interrupted delivery.
    test("is sent for a run that waits with its sandbox, by whoever gets its job when its time has come", async () => {
      const { orm } = database();
      const { sessionId } = await warm("A");
      const run = (await claim("A")) as ClaimedRun;
      const wait = { waitingFor: "sandbox", delayMs: 60_000, failure: FAILURE, outage: null } as const;
      await change({ process: { ...PROCESS, host: "A" } }, run.promptId);
      await writerOf(orm, run).park(wait, 60_000);
      const refused = async () => expect(await claim("B")).toBeUndefined();
      expect(await offersIn(refused)).toEqual([]);
      await change({ notBefore: sql`now()` }, run.promptId);
      expect(await offersIn(refused)).toEqual([`A ${sessionId}`]);
      expect(await claimed("A")).toBe(run.promptId);
      expect(await offersIn(refused)).toEqual([]);
    });

    test("is sent for a run that waits with its sandbox, once its wait is ended", async () => {
      const { orm } = database();
      const { sessionId, promptIds } = await warm("A");
      const run = (await claim("A")) as ClaimedRun;
      const wait = { waitingFor: "sandbox", delayMs: 60_000, failure: FAILURE, outage: null } as const;
      await change({ process: { ...PROCESS, host: "A" } }, run.promptId);
      expect(await offersIn(() => writerOf(orm, run).park(wait, 60_000))).toEqual([]);
      // A follow-up may have waited while A was busy.
      await follow({ sessionId });
      await declineOffer(orm, { host: "A", sessionId });
      const id = String(promptIds[0]);
      expect(await offersIn(() => orm.transaction((tx) => endWait(tx, { id, sessionId })))).toEqual([
        `A ${sessionId}`,
      ]);
    });
  });

  describe("two machines", () => {
    /** A machine as in tasks/prompt-runner.ts, without agents: a run ends when the test says so. */
    const machine = async (opened: Database, host: string, total: number) => {
      const { orm } = opened;
      const running: { promptId: string; end: () => void }[] = [];
      const answered: Promise<unknown>[] = [];
      let most = 0;
      const slots = createSlots<ClaimedRun>({
        total,
        claim: (lastSlot) =>
          claimNext(orm, {
            ...{ owner: host, host, ttlMs: TTL_MS, maxRunning: 100, maxRunningPerUser: 100 },
            ...{ affinityMs: AFFINITY_MS, lastSlot },
          }),
        async run(run) {
          const ended = Promise.withResolvers<void>();
          running.push({ promptId: run.promptId, end: ended.resolve });
          most = Math.max(most, running.length);
          await ended.promise;
          await writerOf(orm, run).finish(COMPLETED);
          running.splice(
            running.findIndex(({ promptId }) => promptId === run.promptId),
            1,
          );
        },
        sessionOf: ({ sessionId }) => sessionId,
        passOn: (promptId) => redispatch(orm, promptId),
        offers: createOffers({
          decline: (sessionId) => void answered.push(declineOffer(orm, { host, sessionId })),
          wakeOthers: () => void answered.push(notifyOutbox(orm)),
        }),
      });
      const unlisten = [
        await opened.listen(CHANNELS.outbox, slots.wake),
        await opened.listen(CHANNELS.warmHost, (payload) => {
          const [warmHost, sessionId = ""] = payload.split(" ");
          if (warmHost === host) answered.push(slots.offer(sessionId));
        }),
      ];
      const jobs: Promise<void>[] = [];
      return {
        work: (promptId = "") => void jobs.push(slots.work(promptId)),
        ids: () => running.map(({ promptId }) => promptId),
        most: () => most,
        async stop() {
          const stopped = slots.stop();
          for (const { end } of [...running]) end();
          await Promise.all([...jobs, stopped]);
          await Promise.all(answered);
          await Promise.all(unlisten.map((end) => end()));
        },
      };
    };

    test("the job wakes another machine, which waits; the warm one hears of it and takes the prompt", async () => {
      const [a, b] = await Promise.all([machine(database(), "A", 1), machine(database(), "B", 2)]);
      const { promptIds } = await warm("A");
      const cold = await seedSession(database(), 1);
      b.work(promptIds[0]);
      await until(() => a.ids().includes(String(promptIds[0])), { what: "the run on A" });
      // B learns that it need not wait any longer, and takes the one behind it.
      await until(() => b.ids().length === 1, { what: "the next run" });
      expect([a.ids(), b.ids()]).toEqual([promptIds, cold.promptIds]);
      await Promise.all([a.stop(), b.stop()]);
    });

    test("a busy warm machine declines, and another one takes the prompt at once", async () => {
      const [a, b] = await Promise.all([machine(database(), "A", 1), machine(database(), "B", 2)]);
      const own = await warm("A");
      a.work(own.promptIds[0]);
      await until(() => a.ids().length === 1, { what: "the only slot of A" });
      const { promptIds } = await warm("A");
      b.work(promptIds[0]);
      await until(() => b.ids().length === 1, { what: "the run on B" });
      expect(b.ids()).toEqual([String(promptIds[0])]);
      expect([a.most(), b.most()]).toEqual([1, 1]);
      await Promise.all([a.stop(), b.stop()]);
    });
  });
});
