import { describe, expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { deleteHeartbeats } from "../../src/db/heartbeats.ts";
import { unpushedWork } from "../../src/db/memory-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { declineOffer, dispatchNext, redispatch } from "../../src/lifecycle/dispatch.ts";
import { endWait } from "../../src/lifecycle/end-wait.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { notifyOutbox } from "../../src/queue/outbox.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { createOffers } from "../../src/runs/offers.ts";
import { createSlots } from "../../src/runs/slots.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, FAILURE, PROCESS, seedSession, TTL_MS, writerOf } from "../harness/seed.ts";
import { until } from "../harness/until.ts";
import { AFFINITY_MS, warmMachines } from "./warm-machines.ts";

describeEachDatabase("offers", (database) => {
  const { claim, claimed, change, warm } = warmMachines(database);
  /** A session that is warm on a machine, without prompts. */
  const idle = async (host: string | null) => {
    const { sessionId } = await seedSession(database(), 1);
    const { orm } = database();
    await orm.delete(prompt).where(eq(prompt.sessionId, sessionId));
    await orm.update(session).set({ warmHost: host }).where(eq(session.id, sessionId));
    return { sessionId };
  };

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
        addPrompt(tx, {
          userId: "alice",
          author: undefined,
          sessionId,
          data: "x",
          text: "x",
          priority: 0,
          maxUnfinished: 99,
        }),
      );

    /** A run on A whose agent has started. */
    const begun = async () => {
      const { sessionId } = await warm("A");
      const run = (await claim("A")) as ClaimedRun;
      await change({ process: { ...PROCESS, host: "A" } }, run.promptId);
      return { run, sessionId };
    };
    const park = (run: ClaimedRun) => {
      const wait = { waitingFor: "sandbox", delayMs: 60_000, failure: FAILURE, outage: null } as const;
      return writerOf(database().orm, run).park(wait, 60_000);
    };

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
      const { run, sessionId } = await begun();
      await park(run);
      const refused = async () => expect(await claim("B")).toBeUndefined();
      expect(await offersIn(refused)).toEqual([]);
      await change({ notBefore: sql`now()` }, run.promptId);
      expect(await offersIn(refused)).toEqual([`A ${sessionId}`]);
      expect(await claimed("A")).toBe(run.promptId);
      expect(await offersIn(refused)).toEqual([]);
    });

    test("is sent for a run that waits with its sandbox, once its wait is ended", async () => {
      const { orm } = database();
      const { run, sessionId } = await begun();
      expect(await offersIn(() => park(run))).toEqual([]);
      // A follow-up may have waited while A was busy.
      await follow({ sessionId });
      await declineOffer(orm, { host: "A", sessionId });
      const id = run.promptId;
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
