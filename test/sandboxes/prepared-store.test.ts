import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPreparedStore, PARTS } from "../../src/sandboxes/prepared-store.ts";

const DAY_MS = 86_400_000;
let dataDir = "";
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "pb-prepared-"));
});
afterEach(() => rm(dataDir, { recursive: true }));

const storeOf = (maxBytes = 10_000) => openPreparedStore({ dataDir, maxBytes });
const archives = async (bytes: number) => {
  const folder = await mkdtemp(join(dataDir, "out-"));
  const files = { checkout: join(folder, "a"), home: join(folder, "b") };
  await Bun.write(files.checkout, "x".repeat(bytes));
  await Bun.write(files.home, "");
  return files;
};
const PROJECT = Bun.randomUUIDv7();
const nothing = { project: PROJECT, see: () => undefined };
const hasRoom = async () => false;
const names = () => readdir(join(dataDir, "prepared"));
const usedAt = (key: string, ms: number) =>
  utimes(join(dataDir, "prepared", key), new Date(ms), new Date(ms));

test("what was used the longest ago makes room", async () => {
  const store = storeOf();
  const [one, two, three] = ["one", "two", "three"].map(store.keyOf) as [string, string, string];
  await store.add(one, await archives(4_000), nothing);
  await store.add(two, await archives(4_000), nothing);
  await usedAt(one, Date.now() - 2 * DAY_MS);
  await usedAt(two, Date.now() - DAY_MS);
  // The use is what counts.
  expect((await store.find(one))?.key).toBe(one);
  await store.add(three, await archives(4_000), nothing);
  expect(await store.find(two)).toBeUndefined();
  expect((await names()).sort()).toEqual([one, three].sort());
  expect(await store.bytes()).toBe(8_000);
});

test("there are only so many", async () => {
  const store = storeOf(10_000_000);
  for (let at = 0; at < 203; at += 1) await store.add(store.keyOf(at), await archives(1), nothing);
  expect(await names()).toHaveLength(200);
});

test("what is refused while it is read is not kept, and what somebody may be reading is not replaced", async () => {
  const store = storeOf();
  const key = store.keyOf(1);
  const see = () => {
    throw new Error("it has a secret");
  };
  await expect(store.add(key, await archives(10), { ...nothing, see })).rejects.toThrow("it has a secret");
  expect(await names()).toEqual([]);
  await store.add(key, await archives(10), nothing);
  await store.add(key, await archives(20), nothing);
  expect(await names()).toEqual([key]);
  expect(await Bun.file((await store.find(key))?.files.checkout ?? "").text()).toHaveLength(10);
});

test("one whose content is not what was kept is neither used nor kept, also where its length is the same", async () => {
  const store = storeOf();
  for (const part of PARTS) {
    const key = store.keyOf(part);
    await store.add(key, { ...(await archives(10)), home: (await archives(10)).checkout }, nothing);
    expect(await store.find(key)).toBeDefined();
    await Bun.write(join(dataDir, "prepared", key, `${part}.tar`), `${"x".repeat(9)}y`);
    expect([part, await store.find(key)]).toEqual([part, undefined]);
    expect(await names()).toEqual([]);
  }
});

test("one that is a week old is neither used nor kept", async () => {
  const store = storeOf();
  // Also one of a clock that was wrong.
  const keys = [store.keyOf(1), store.keyOf(2), store.keyOf(3)] as const;
  for (const [at, key] of keys.entries()) {
    await store.add(key, await archives(10), nothing);
    const file = join(dataDir, "prepared", key, "about.json");
    const about = await Bun.file(file).json();
    await Bun.write(file, JSON.stringify({ ...about, madeAt: Date.now() + (at === 2 ? 8 : -8) * DAY_MS }));
  }
  for (const key of [keys[0], keys[2]]) expect(await store.find(key)).toBeUndefined();
  expect(await names()).toEqual([keys[1]]);
  await store.sweep(hasRoom);
  expect(await names()).toEqual([]);
});

test("what another version or a fault has left as one is in nobody's way, and is removed", async () => {
  const store = storeOf();
  const good = store.keyOf("good");
  for (const [at, text] of ["{}", "null", '{"madeAt":1e99,"files":{}}', ""].entries())
    await Bun.write(join(dataDir, "prepared", store.keyOf(at), "about.json"), text);
  expect(await store.bytes()).toBe(0);
  await store.add(good, await archives(10), nothing);
  expect(await store.bytes()).toBe(10);
  await store.sweep(hasRoom);
  expect(await names()).toEqual([good]);
});

test("a sweep removes what a killed process left, not what one that lives is making", async () => {
  const store = storeOf();
  const key = store.keyOf(1);
  await store.add(key, await archives(10), nothing);
  for (const name of ["new-old", "gone-old", "new-young"])
    await mkdir(join(dataDir, "prepared", name, "deep"), { recursive: true });
  for (const name of ["new-old", "gone-old"]) await usedAt(name, Date.now() - 3_600_000);
  await store.sweep(hasRoom);
  expect((await names()).sort()).toEqual([key, "new-young"].sort());
  await storeOf(0).sweep(hasRoom);
  expect(await names()).toEqual(["new-young"]);
});

test("where the disk is nearly full, what was used the longest ago goes until it is not", async () => {
  const store = storeOf();
  const [one, two, three] = ["one", "two", "three"].map(store.keyOf) as [string, string, string];
  for (const [at, key] of [one, two, three].entries()) {
    await store.add(key, await archives(10), nothing);
    await usedAt(key, Date.now() - at * DAY_MS);
  }
  await store.sweep(hasRoom);
  expect(await names()).toHaveLength(3);
  await store.sweep(async () => (await names()).length > 1);
  expect(await names()).toEqual([one]);
});

test("those of projects that are gone are removed; what was not asked about is another's", async () => {
  const store = storeOf();
  const gone = Bun.randomUUIDv7();
  const [one, two, three] = ["one", "two", "three"].map(store.keyOf) as [string, string, string];
  for (const key of [one, two]) await store.add(key, await archives(10), { ...nothing, project: gone });
  await store.add(three, await archives(10), nothing);
  const asked: string[][] = [];
  const known = async (ids: readonly string[]) => {
    asked.push([...ids].sort());
    return new Set([PROJECT]);
  };
  expect(await store.purge(known)).toBe(2);
  expect(asked).toEqual([[gone, PROJECT].sort()]);
  expect(await names()).toEqual([three]);
  expect(await store.purge(known)).toBe(0);
});

test("a name tells nothing to who can guess what it is of: each DATA_DIR has its own", async () => {
  const other = await mkdtemp(join(tmpdir(), "pb-prepared-"));
  const parts = { env: [["TOKEN", "value"]] };
  const key = storeOf().keyOf(parts);
  expect(storeOf().keyOf(parts)).toBe(key);
  expect(openPreparedStore({ dataDir: other, maxBytes: 1 }).keyOf(parts)).not.toBe(key);
  await rm(other, { recursive: true });
});
