import { describe, expect, test } from "bun:test";
import { createKeyedMutex } from "../../src/shared/keyed-mutex.ts";
import { retry, sleep, unlessAborted, withTimeout } from "../../src/shared/time.ts";

const always = () => true;

describe("sleep", () => {
  test("ends at once with what its signal aborted with", async () => {
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
  test("gives what comes in time, and its message for what does not", async () => {
    expect(await withTimeout(60_000, Promise.resolve(1), "late")).toBe(1);
    expect(await withTimeout(1, new Promise(() => undefined), "late").catch((error) => error.message)).toBe(
      "late",
    );
  });
});

describe("retry", () => {
  test("until it works, or the tries are used up, or the failure is another one", async () => {
    const failing = (times: number) => async (attempt: number) => {
      if (attempt <= times) throw new Error(`failure ${attempt}`);
      return attempt;
    };
    expect(await retry(failing(2), { firstMs: 1, when: always })).toBe(3);
    const message = (work: Promise<unknown>) => work.catch((error) => error.message);
    expect(await message(retry(failing(9), { tries: 3, firstMs: 1, when: always }))).toBe("failure 3");
    const passing = ({ message }: Error) => message === "failure 1";
    expect(await message(retry(failing(9), { firstMs: 1, when: passing }))).toBe("failure 2");
  });

  test("an abort ends a pause at once", async () => {
    const controller = new AbortController();
    const retrying = retry(async () => Promise.reject(new Error("no")), {
      firstMs: 60_000,
      when: always,
      onFailure: () => controller.abort(new Error("enough")),
      signal: controller.signal,
    });
    expect(await retrying.catch((error) => error.message)).toBe("enough");
  });

  test("what was done is done, although the signal aborts meanwhile", async () => {
    const controller = new AbortController();
    const work = async () => {
      controller.abort(new Error("enough"));
      return "done";
    };
    expect(await retry(work, { firstMs: 1, when: always, signal: controller.signal })).toBe("done");
  });
});

describe("a keyed mutex", () => {
  test("one at a time for a key, side by side for others, whatever fails", async () => {
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
});
