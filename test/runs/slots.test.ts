import { describe, expect, test } from "bun:test";
import type { Held } from "../../src/runs/claim.ts";
import { createOffers } from "../../src/runs/offers.ts";
import { createSlots } from "../../src/runs/slots.ts";
import { until } from "../harness/until.ts";

const NEVER_MS = 1e8;

/**
 * A process with two slots, whose claims answer what the test says: a run, that the last slot is reserved, or that the next
 * prompt is held back. A run is named after its session.
 */
function processWith(reclaimMs: number) {
  const answers: (string | "reserved" | Held | undefined)[] = [];
  const lastSlot: boolean[] = [];
  const passedOn: string[] = [];
  const declined: string[] = [];
  let woken = 0;
  const running = new Map<string, () => void>();
  const slots = createSlots<string>({
    total: 2,
    reclaimMs,
    async claim(last) {
      lastSlot.push(last);
      return answers.length > 1 ? answers.shift() : answers[0];
    },
    async run(run) {
      const ended = Promise.withResolvers<void>();
      running.set(run, ended.resolve);
      await ended.promise;
      running.delete(run);
    },
    sessionOf: (run) => run,
    passOn: async (id) => void passedOn.push(id),
    offers: createOffers({
      decline: (session) => void declined.push(session),
      wakeOthers: () => {
        woken += 1;
      },
    }),
  });
  return { answers, lastSlot, passedOn, declined, running, slots, woken: () => woken };
}

test("whoever waits in the last slot claims again when it is woken", async () => {
  const { answers, slots, running, lastSlot } = processWith(NEVER_MS);
  answers.push("reserved");
  const work = slots.work("a");
  await until(() => lastSlot.length === 1, { what: "the first claim" });
  await Bun.sleep(0);
  answers.splice(0, 1, "bob's", undefined);
  slots.wake();
  await until(() => running.has("bob's"), { what: "bob's run" });
  running.get("bob's")?.();
  await work;
});

test("without a wake-up it claims again after a while; the job is passed on once, however often", async () => {
  const { answers, slots, passedOn, lastSlot } = processWith(1);
  answers.push("reserved");
  const work = slots.work("a");
  await until(() => lastSlot.length > 5, { what: "some claims" });
  expect(passedOn).toEqual(["a"]);
  void slots.stop();
  await work;
});

test("a slot whose run has ended is free: the other one is not the last any more", async () => {
  const { answers, slots, running, lastSlot } = processWith(NEVER_MS);
  answers.push("one", undefined);
  const work = slots.work("a");
  await until(() => running.size === 1, { what: "a run" });
  await slots.work("b");
  running.get("one")?.();
  await work;
  expect(lastSlot).toEqual([false, true, false]);
});

describe("a prompt that is held back for another machine", () => {
  test("is claimed again after that time, and nothing is claimed or passed on meanwhile", async () => {
    const { answers, slots, passedOn, lastSlot, running } = processWith(NEVER_MS);
    answers.push({ heldMs: 20 }, "a", "b", undefined);
    const jobs = [slots.work("1"), slots.work("2")];
    await until(() => lastSlot.length === 1, { what: "the first claim" });
    expect(running.size).toBe(0);
    await until(() => running.size === 2, { what: "both runs" });
    expect(passedOn).toEqual([]);
    // It has waited without a slot.
    expect(lastSlot).toEqual([false, false, true]);
    for (const end of running.values()) end();
    await Promise.all(jobs);
  });

  test("is claimed again when something is dispatched, by one of those who wait", async () => {
    const { answers, slots, lastSlot } = processWith(NEVER_MS);
    answers.push({ heldMs: NEVER_MS });
    const jobs = [slots.work("1"), slots.work("2")];
    await until(() => lastSlot.length === 1, { what: "the first claim" });
    slots.wake();
    await until(() => lastSlot.length === 2, { what: "the second claim" });
    await Bun.sleep(0);
    expect(lastSlot).toHaveLength(2);
    await slots.stop();
    await Promise.all(jobs);
  });
});

describe("an offered prompt", () => {
  test("starts in a free slot, and those who have waited for that are woken", async () => {
    const { answers, slots, running, woken, declined } = processWith(NEVER_MS);
    answers.push("a", undefined);
    const offer = slots.offer("a");
    await until(() => running.has("a"), { what: "the run" });
    expect([woken(), declined]).toEqual([1, []]);
    running.get("a")?.();
    await offer;
    expect(woken()).toBe(1);
  });

  test("is declined if no slot is free; no more runs start than there are slots", async () => {
    const { answers, slots, running, declined, lastSlot, passedOn } = processWith(NEVER_MS);
    answers.push("a", "b", "too many");
    const jobs = [slots.work("1"), slots.work("2")];
    await until(() => running.size === 2, { what: "two runs" });
    await slots.offer("c");
    const late = slots.work("3");
    await until(() => passedOn.length === 1, { what: "the job to be passed on" });
    expect(declined).toEqual(["c"]);
    expect(lastSlot).toHaveLength(2);
    expect([...running.keys()]).toEqual(["a", "b"]);
    void slots.stop();
    for (const end of running.values()) end();
    await Promise.all([...jobs, late]);
  });

  test("is declined if others come first and take the last slot, or that is reserved", async () => {
    for (const last of ["other", "reserved"] as const) {
      const { answers, slots, running, declined } = processWith(NEVER_MS);
      answers.push("a", last);
      const jobs = [slots.work("1")];
      await until(() => running.size === 1, { what: "a run" });
      jobs.push(slots.offer("c"));
      await until(() => declined.length === 1, { what: "the decline" });
      expect(declined).toEqual(["c"]);
      void slots.stop();
      for (const end of running.values()) end();
      await Promise.all(jobs);
    }
  });

  test("is not declined while the session's last run is about to leave its slot", async () => {
    const { answers, slots, running, declined, woken } = processWith(NEVER_MS);
    answers.push("a", "b", "a", undefined);
    const jobs = [slots.work("1"), slots.work("2")];
    await until(() => running.size === 2, { what: "two runs" });
    await slots.offer("a");
    expect(declined).toEqual([]);
    running.get("a")?.();
    await until(() => woken() === 1, { what: "the offered prompt" });
    expect(declined).toEqual([]);
    void slots.stop();
    for (const end of running.values()) end();
    await Promise.all(jobs);
  });
});

test("what may start only here starts without a job, and stopping waits for it", async () => {
  const { answers, slots, running } = processWith(NEVER_MS);
  answers.push("a", undefined);
  const started = slots.start();
  await until(() => running.has("a"), { what: "the run" });
  let hasStopped = false;
  const stopped = slots.stop().then(() => {
    hasStopped = true;
  });
  await Bun.sleep(0);
  expect(hasStopped).toBe(false);
  running.get("a")?.();
  await Promise.all([started, stopped]);
  answers.push("b");
  await slots.start();
  expect(running.size).toBe(0);
});
