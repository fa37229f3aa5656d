import { expect, test } from "bun:test";
import { createSlots } from "../../src/runs/slots.ts";
import { until } from "../harness/until.ts";

const NEVER_MS = 1e8;

/** A process with two slots, whose claims answer what the test says: a run, or that the last slot is reserved. */
function processWith(reclaimMs: number) {
  const answers: (string | "reserved" | undefined)[] = [];
  const lastSlot: boolean[] = [];
  const passedOn: string[] = [];
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
    passOn: async (id) => void passedOn.push(id),
  });
  return { answers, lastSlot, passedOn, running, slots };
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
  slots.stop();
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
