import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { createLogger } from "../../src/observability/logger.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import { enqueue } from "../../src/queue/outbox.ts";
import { startLoop } from "../../src/tasks/loop.ts";
import { outboxPublisher } from "../../src/tasks/outbox-publisher.ts";
import type { TaskContext } from "../../src/tasks/task.ts";
import { describeEmbedded } from "../harness/databases.ts";

const logger = createLogger({ level: "silent" });
const HOUR_MS = 3_600_000;

test("a loop that knows of nothing rests beyond its interval, until it is woken", async () => {
  let [resting, polling] = [0, 0];
  const restful = startLoop({
    ...{ name: "restful", intervalMs: 1, logger },
    restMs: async () => HOUR_MS,
    work: async () => {
      resting += 1;
    },
  });
  const polled = async (times: number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    polling = 0;
    const loop = startLoop({
      ...{ name: "polling", intervalMs: 1, logger },
      work: async () => {
        polling += 1;
        if (polling === times) resolve();
      },
    });
    await promise;
    await loop.stop();
  };
  await polled(20);
  expect(resting).toBe(1);
  restful.wake();
  await polled(20);
  expect(resting).toBe(2);
  await restful.stop();
});

test("a loop that waits first does nothing at its start, until it is woken or its interval is over", async () => {
  let worked = 0;
  const work = async () => {
    worked += 1;
  };
  const waiting = startLoop({ name: "waiting", intervalMs: HOUR_MS, waitsFirst: true, logger, work });
  await setImmediate();
  expect(worked).toBe(0);
  waiting.wake();
  await setImmediate();
  expect(worked).toBe(1);
  await waiting.stop();

  const { promise, resolve } = Promise.withResolvers<void>();
  const due = startLoop({
    ...{ name: "due", intervalMs: 1, waitsFirst: true, logger },
    work: async () => resolve(),
  });
  await promise;
  await due.stop();

  const stopped = startLoop({ name: "stopped", intervalMs: HOUR_MS, waitsFirst: true, logger, work });
  await stopped.stop();
  expect(worked).toBe(1);
});

describeEmbedded("outbox-publisher", (database) => {
  test("what is due later is published then, although the publisher rests", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const context = {
      ...{ database: database(), logger },
      metrics: createMetrics({ version: "0", deployment: async () => Promise.reject(new Error("unused")) }),
      queue: { publish: async (_topic: string, [one]: { id: string }[]) => resolve(one?.id ?? "") },
    } as unknown as TaskContext;
    const publisher = await outboxPublisher(context);
    await database().orm.transaction(async (tx) => {
      await enqueue(tx, { topic: "prompt-run", key: "k", payload: { prompt_id: "k" }, delayMs: 200 });
    });
    expect(await promise).toMatch(/^[0-9a-f-]{36}$/);
    await publisher.stop();
  });
});
