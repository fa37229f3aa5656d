import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/git/git-errors.ts";
import { retryOnLock } from "../../../src/sandboxes/git/git-retry.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let store: string;
let lock: string;
beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "pb-retry-"));
  lock = join(store, "head.lock");
});
afterEach(() => rm(store, { recursive: true }));

/** Work that fails as git does while the lock file exists. */
function locked(path = lock) {
  const tries = { count: 0 };
  const work = async () => {
    tries.count += 1;
    if (existsSync(path)) throw new RepositoryError(`Unable to create '${path}': File exists.`);
    return "done";
  };
  return { tries, work };
}

test("a lock that is released meanwhile", async () => {
  await writeFile(lock, "");
  const { tries, work } = locked();
  const result = retryOnLock(work, { store, signal: never, firstMs: 20 });
  await rm(lock);
  expect(await result).toBe("done");
  // Fewer than a whole round: it was not removed as stale.
  expect(tries.count).toBeLessThan(6);
});

test("a lock that stays the same is stale and removed", async () => {
  await writeFile(lock, "");
  const { tries, work } = locked();
  expect(await retryOnLock(work, { store, signal: never, firstMs: 1 })).toBe("done");
  expect(tries.count).toBe(7);
});

test("a lock outside the store, and one that is another each time, are not removed", async () => {
  const outside = `${store}-outside.lock`;
  await writeFile(outside, "");
  try {
    const { work } = locked(outside);
    expect(retryOnLock(work, { store, signal: never, firstMs: 1 })).rejects.toThrow("File exists");
    await retryOnLock(work, { store, signal: never, firstMs: 1 }).catch(() => undefined);
    expect(existsSync(outside)).toBe(true);
  } finally {
    await rm(outside);
  }
  const { work } = locked();
  const replaced = async () => {
    await rm(lock, { force: true });
    await writeFile(lock, crypto.randomUUID());
    return work();
  };
  await expect(retryOnLock(replaced, { store, signal: never, firstMs: 2 })).rejects.toThrow("File exists");
  expect(existsSync(lock)).toBe(true);
});

test("other errors are not retried", async () => {
  let tries = 0;
  const work = async () => {
    tries += 1;
    throw new RepositoryError("not found");
  };
  await expect(retryOnLock(work, { store, signal: never })).rejects.toThrow("not found");
  expect(tries).toBe(1);
});

/** Cause: pauses took no notice of the signal. */
test("an abort ends a pause at once, with its reason", async () => {
  await writeFile(lock, "");
  const stop = new AbortController();
  const { work } = locked();
  const failing = () => {
    // After the failure was handled, which needs microtasks only: in the pause.
    setImmediate(() => stop.abort(new Error("shutting down")));
    return work();
  };
  const result = retryOnLock(failing, { store, signal: stop.signal, firstMs: 600_000 });
  await expect(result).rejects.toThrow("shutting down");
});
