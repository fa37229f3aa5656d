import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { agentMemory, sessionChunk } from "../../src/db/memory-tables.ts";
import { purgeOldMemory } from "../../src/memory/purge-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedPrompt } from "../harness/seed.ts";
import { chunkOf, hashesOf, seedMemory, seedUnpushed } from "./fixture.ts";

describeEachDatabase("the purge of what agents remembered", (database) => {
  const DAYS = 30;
  const hashes = (...texts: string[]) => texts.map((text) => chunkOf(text).hash).sort();
  const memories = async (sessionId: string) =>
    (await database().orm.select().from(agentMemory).where(eq(agentMemory.sessionId, sessionId))).length;

  test("spares each session's newest, however old, and every piece that it or another one names", async () => {
    const { sessionId } = await seedPrompt(database());
    await seedMemory(database(), sessionId, { days: 60, texts: ["begin", "oldest"] });
    await seedMemory(database(), sessionId, { days: 50, texts: ["begin", "older"] });
    await seedMemory(database(), sessionId, { days: 40, texts: ["begin", "newest"] });
    expect((await purgeOldMemory(database().orm, { days: DAYS })).removed).toBe(2);
    expect(await memories(sessionId)).toBe(1);
    expect(await hashesOf(database(), sessionId)).toEqual(hashes("begin", "newest"));
    expect((await purgeOldMemory(database().orm, { days: DAYS })).removed).toBe(0);
  });

  test("spares what is not old, which a fork may begin with", async () => {
    const { sessionId } = await seedPrompt(database());
    await seedMemory(database(), sessionId, { days: 20, texts: ["a"] });
    await seedMemory(database(), sessionId, { days: 10, texts: ["b"] });
    expect((await purgeOldMemory(database().orm, { days: DAYS })).removed).toBe(0);
    expect(await memories(sessionId)).toBe(2);
  });

  test("spares the pieces of work that could not be pushed", async () => {
    const { sessionId } = await seedPrompt(database());
    await seedUnpushed(database(), sessionId, "bundle");
    await seedMemory(database(), sessionId, { days: 60, texts: ["old"] });
    await seedMemory(database(), sessionId, { days: 50, texts: ["new"] });
    expect((await purgeOldMemory(database().orm, { days: DAYS })).removed).toBe(1);
    expect(await hashesOf(database(), sessionId)).toEqual(hashes("bundle", "new"));
  });

  test("spares pieces that a run has just stored or asked for: its memory is about to name them", async () => {
    const { sessionId } = await seedPrompt(database());
    await seedMemory(database(), sessionId, { days: 60, texts: ["old", "asked for"] });
    await seedMemory(database(), sessionId, { days: 50, texts: ["new"] });
    const [asked] = hashes("asked for");
    await database()
      .orm.update(sessionChunk)
      .set({ usedAt: sql`now()` })
      .where(eq(sessionChunk.hash, String(asked)));
    expect((await purgeOldMemory(database().orm, { days: DAYS })).removed).toBe(1);
    expect(await hashesOf(database(), sessionId)).toEqual(hashes("asked for", "new"));
  });

  test("spares other sessions' pieces of the same content", async () => {
    const [one, other] = [await seedPrompt(database()), await seedPrompt(database())];
    await seedMemory(database(), one.sessionId, { days: 60, texts: ["shared"] });
    await seedMemory(database(), one.sessionId, { days: 50, texts: ["new"] });
    await seedMemory(database(), other.sessionId, { days: 60, texts: ["shared"] });
    expect((await purgeOldMemory(database().orm, { days: DAYS })).removed).toBe(1);
    expect(await hashesOf(database(), one.sessionId)).toEqual(hashes("new"));
    expect(await hashesOf(database(), other.sessionId)).toEqual(hashes("shared"));
  });
});
