import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { sessionChunk, unpushedWork } from "../../src/db/memory-tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { openUnpushedStore } from "../../src/runs/unpushed-store.ts";
import { RepositoryError } from "../../src/sandboxes/sandbox.ts";
import { PIECE_BYTES } from "../../src/sandboxes/state-pieces.ts";
import { MIB } from "../../src/shared/units.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, EXPIRED_MS, mustClaim, seedRun, writerOf } from "../harness/seed.ts";
import { chunkOf, hashesOf, seedMemory } from "../memory/fixture.ts";
import { never } from "../sandboxes/fixture.ts";

const [FIRST, SECOND] = ["1".repeat(40), "2".repeat(40)];

describeEachDatabase("work that could not be pushed, in the database", (database) => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-unpushed-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const storeOf = (run: ClaimedRun, maxBytes = MIB) =>
    openUnpushedStore({ orm: database().orm, run, host: "here", signal: never, maxBytes });
  const fileOf = async (content: Uint8Array | string) => {
    const file = join(folder, crypto.randomUUID());
    await writeFile(file, content);
    return file;
  };
  const kept = (sessionId: string) =>
    database().orm.select().from(unpushedWork).where(eq(unpushedWork.sessionId, sessionId));
  /** Pieces of one letter each. */
  const pieces = (letters: string) =>
    Buffer.concat([...letters].map((letter) => Buffer.alloc(PIECE_BYTES, letter)));
  const hashes = (letters: string) => [...letters].map((one) => chunkOf(pieces(one)).hash).sort();

  test("is read as it was kept, in pieces, and the newest replaces what was kept before", async () => {
    const run = await seedRun(database());
    const store = storeOf(run, 64 * MIB);
    const large = Buffer.concat([pieces("abcdefghijklmnop"), Buffer.from("the end")]);
    expect(await store.keep(FIRST, await fileOf(large))).toBe(true);
    expect(store.commit).toBe(FIRST);
    const file = join(folder, crypto.randomUUID());
    await store.read(file);
    expect(large.equals(await readFile(file))).toBe(true);
    await store.keep(SECOND, await fileOf(pieces("az")));
    expect(await kept(run.sessionId)).toMatchObject([{ commit: SECOND }]);
    expect(await hashesOf(database(), run.sessionId)).toEqual(hashes("az"));
  });

  // A file of zeros makes such a pack: it could not be kept, and the prompt failed.
  test("may repeat itself", async () => {
    const run = await seedRun(database());
    const zeros = Buffer.alloc(5 * PIECE_BYTES);
    expect(await storeOf(run).keep(FIRST, await fileOf(zeros))).toBe(true);
    const file = join(folder, crypto.randomUUID());
    await storeOf(run).read(file);
    expect(zeros.equals(await readFile(file))).toBe(true);
  });

  test("the pieces that the agent's memory has in common with it stay when it is replaced", async () => {
    const run = await seedRun(database());
    await storeOf(run).keep(FIRST, await fileOf(pieces("ab")));
    await seedMemory(database(), run.sessionId, { days: 1, texts: [pieces("a").toString()] });
    await storeOf(run).keep(SECOND, await fileOf(pieces("c")));
    expect(await hashesOf(database(), run.sessionId)).toEqual(hashes("ac"));
  });

  test("a push ends its keeping, and spares the pieces that the agent's memory has in common with it", async () => {
    const run = await seedRun(database());
    await storeOf(run).keep(FIRST, await fileOf(pieces("abc")));
    await seedMemory(database(), run.sessionId, { days: 1, texts: [pieces("a").toString()] });
    const files = [{ path: "x", size: PIECE_BYTES, chunks: hashes("b") }];
    const memory = { agent: "shell", files, bytes: PIECE_BYTES, problem: null };
    await writerOf(database().orm, run).finish({ ...COMPLETED, pushed: true, memory });
    expect(await kept(run.sessionId)).toEqual([]);
    expect(await hashesOf(database(), run.sessionId)).toEqual(hashes("ab"));
  });

  test("more than its limit is not read; which machine has it is, and what was kept before stays", async () => {
    const run = await seedRun(database());
    const store = storeOf(run);
    await store.keep(FIRST, await fileOf(pieces("a")));
    const file = await fileOf("");
    await truncate(file, MIB + 1);
    expect(await store.keep(SECOND, file)).toBe(false);
    expect(store).toMatchObject({ commit: SECOND, host: "here" });
    const [row] = await kept(run.sessionId);
    expect(row).toMatchObject({ commit: SECOND, host: "here", bundle: { size: PIECE_BYTES } });
    await truncate(file, MIB);
    expect(await store.keep(SECOND, file)).toBe(true);
    expect(store).toMatchObject({ commit: SECOND, host: null });
    expect(await kept(run.sessionId)).toMatchObject([{ commit: SECOND, host: null, bundle: { size: MIB } }]);
  });

  test.each<[string, (run: ClaimedRun) => Promise<unknown>]>([
    [
      "missing",
      ({ sessionId }) =>
        database().orm.delete(sessionChunk).where(eq(sessionChunk.sessionId, sessionId)).execute(),
    ],
    [
      "another one of the same length",
      ({ sessionId }) =>
        database()
          .orm.update(sessionChunk)
          .set({ data: Buffer.from(chunkOf(pieces("x")).data) })
          .where(eq(sessionChunk.sessionId, sessionId))
          .execute(),
    ],
    [
      "not in the list any more",
      ({ sessionId }) =>
        database()
          .orm.update(unpushedWork)
          .set({ bundle: { path: "unpushed.bundle", size: PIECE_BYTES, chunks: [] } })
          .where(eq(unpushedWork.sessionId, sessionId))
          .execute(),
    ],
    [
      "gone with all of it",
      ({ sessionId }) =>
        database().orm.delete(unpushedWork).where(eq(unpushedWork.sessionId, sessionId)).execute(),
    ],
  ])("a piece that is %s is an error for the user", async (_how, harm) => {
    const run = await seedRun(database());
    const store = storeOf(run);
    await store.keep(FIRST, await fileOf(pieces("a")));
    await harm(run);
    const read = store.read(join(folder, crypto.randomUUID()));
    await expect(read).rejects.toThrow(RepositoryError);
    await expect(read).rejects.toThrow("a piece of it is missing or damaged.");
  });

  test("is never written over a file that is there", async () => {
    const run = await seedRun(database());
    const store = storeOf(run);
    await store.keep(FIRST, await fileOf(pieces("a")));
    const file = await fileOf("precious");
    await expect(store.read(file)).rejects.toThrow();
    expect(await readFile(file, "utf8")).toBe("precious");
  });

  test("a superseded run keeps nothing, and removes nothing", async () => {
    const old = await seedRun(database(), { ttlMs: EXPIRED_MS });
    await storeOf(old).keep(FIRST, await fileOf(pieces("a")));
    await mustClaim(database(), old.promptId);
    await expect(storeOf(old).keep(SECOND, await fileOf(pieces("b")))).rejects.toThrow(LeaseLost);
    // Nor a bundle without pieces: what names it is fenced, too.
    await expect(storeOf(old).keep(SECOND, await fileOf(""))).rejects.toThrow(LeaseLost);
    expect(await kept(old.sessionId)).toMatchObject([{ commit: FIRST }]);
    expect(await hashesOf(database(), old.sessionId)).toEqual(hashes("a"));
  });
});
