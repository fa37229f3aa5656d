import { expect, test } from "bun:test";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { createCounter } from "../../src/server/request-counter.ts";

const fallback = () => new RateLimiterMemory({ points: 1000, duration: 60 });

test("a store that hangs is asked once, and again after a pause", async () => {
  let asked = 0;
  let now = 0;
  const hanging = {
    consume() {
      asked += 1;
      return new Promise<never>(() => undefined);
    },
  };
  const reports: unknown[] = [];
  const counter = createCounter({
    store: hanging,
    fallback: fallback(),
    points: 1000,
    onUnavailable: (error) => reports.push(error),
    now: () => now,
  });
  for (let n = 0; n < 50; n++) expect((await counter.count(`user ${n}`)).over).toBe(false);
  expect([asked, reports.length]).toEqual([1, 1]);
  now += 5_000;
  await counter.count("one more");
  expect([asked, reports.length]).toEqual([2, 1]);
});

test("most requests need no call to the store: a hundredth of the limit is taken at a time", async () => {
  const memory = fallback();
  let asked = 0;
  const store = {
    consume: (key: string, points: number) => {
      asked += 1;
      return memory.consume(key, points);
    },
  };
  const counter = createCounter({
    store,
    fallback: fallback(),
    points: 1000,
    onUnavailable: () => undefined,
  });
  const counts = await Promise.all(Array.from({ length: 1500 }, () => counter.count("alice")));
  expect(counts.filter(({ over }) => !over)).toHaveLength(1000);
  expect(asked).toBe(100);
  expect(counts.slice(0, 3).map(({ remaining }) => remaining)).toEqual([999, 998, 997]);
});
