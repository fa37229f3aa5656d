import { describe, expect, test } from "bun:test";
import { createKeyedMutex } from "../../src/shared/keyed-mutex.ts";
import { retry, sleep, unlessAborted, withTimeout } from "../../src/shared/time.ts";

const always = () => true;

describe("sleep", () => {
  test("rejects at once with the reason of its signal", async () => {
    const controller = new AbortController();
    const sleeping = sleep(60_000, controller.signal);
    controller.abort(new Error("enough"));
    expect(await sleeping.catch((error) => error.message)).toBe("enough");
    expect(await sleep(60_000, controller.signal).catch((error) => error.message)).toBe("enough");
    await sleep(1, new AbortController().signal);
  });
});

test("unlessAborted gives the result, or what its signal aborted with, also before it began", async () => {
  const never = new Promise<never>(() => undefined);
  const controller = new AbortController();
  expect(await unlessAborted(Promise.resolve(1), controller.signal)).toBe(1);
  expect(await unlessAborted(Promise.resolve(2), undefined)).toBe(2);
  const waiting = unlessAborted(never, controller.signal).catch((error) => error.message);
  controller.abort(new Error("enough"));
  expect(await waiting).toBe("enough");
  expect(await unlessAborted(never, controller.signal).catch((error) => error.message)).toBe("enough");
});

describe("withTimeout", () => {
  test("resolves with a value that arrives in time, and else rejects with its message", async () => {
    expect(await withTimeout(60_000, Promise.resolve(1), "late")).toBe(1);
    expect(await withTimeout(1, new Promise(() => undefined), "late").catch((error) => error.message)).toBe(
      "late",
    );
  });
});

describe("retry", () => {
  test("retries until it succeeds, no tries are left, or the failure is not retryable", async () => {
    const failing = (times: number) => async (attempt: number) => {
      if (attempt <= times) throw new Error(`failure ${attempt}`);
      return attempt;
    };
    expect(await retry(failing(2), { firstMs: 1, when: always })).toBe(3);
    const message = (work: Promise<unknown>) => work.catch((error) => error.message);
    expect(await message(retry(failing(9), { tries: 3, firstMs: 1, when: always }))).toBe("failure 3");
    const isFirst = ({ message }: Error) => message === "failure 1";
    expect(await message(retry(failing(9), { firstMs: 1, when: isFirst }))).toBe("failure 2");
  });

  test("an abort ends the pause at once", async () => {
    const controller = new AbortController();
    const retrying = retry(async () => Promise.reject(new Error("no")), {
      firstMs: 60_000,
      when: always,
      onFailure: () => controller.abort(new Error("enough")),
      signal: controller.signal,
    });
    expect(await retrying.catch((error) => error.message)).toBe("enough");
  });

  test("a success is returned although the signal aborted meanwhile", async () => {
    const controller = new AbortController();
    const work = async () => {
      controller.abort(new Error("enough"));
      return "done";
    };
    expect(await retry(work, { firstMs: 1, when: always, signal: controller.signal })).toBe("done");
  });
});

describe("createKeyedMutex", () => {
  test("work of one key is serialized, also after a failure; work of other keys is concurrent", async () => {
    const inTurn = createKeyedMutex();
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = inTurn("a", async () => {
      log.push("first");
      await gate.promise;
      log.push("first ends");
      throw new Error("no");
    });
    const second = inTurn("a", async () => void log.push("second"));
    await inTurn("b", async () => void log.push("other"));
    expect(log).toEqual(["first", "other"]);
    gate.resolve();
    expect(await first.catch((error) => error.message)).toBe("no");
    await second;
    expect(log).toEqual(["first", "other", "first ends", "second"]);
  });

  // Waiting for the store of a repository that another run was fetching ignored a cancellation.
  test("waiting work ends when its signal aborts; running work keeps its turn", async () => {
    const mutex = createKeyedMutex();
    const gate = Promise.withResolvers<void>();
    const [first, second] = [new AbortController(), new AbortController()];
    const log: string[] = [];
    const running = mutex("a", () => gate.promise.then(() => void log.push("first")), first.signal);
    const waiting = mutex("a", async () => void log.push("never"), second.signal);
    const last = mutex("a", async () => void log.push("last"));
    second.abort(new Error("cancelled"));
    expect(await waiting.catch((error) => error.message)).toBe("cancelled");
    first.abort(new Error("cancelled"));
    gate.resolve();
    await Promise.all([running, last]);
    expect(log).toEqual(["first", "last"]);
  }, 5_000);
});
