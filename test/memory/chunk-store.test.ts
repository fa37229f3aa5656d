import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { sessionChunk } from "../../src/db/memory-tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { putChunks, readChunks, touchChunks } from "../../src/memory/chunk-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, EXPIRED_MS, mustClaim, seedRun, writerOf } from "../harness/seed.ts";
import { chunkOf, hashesOf } from "./fixture.ts";

describeEachDatabase("pieces of files", (database) => {
  const [one, two] = [chunkOf("one"), chunkOf("two")];

  test("are stored once, and read by their names", async () => {
    const { orm } = database();
    const run = await seedRun(database());
    expect(await touchChunks(orm, run, [one.hash, two.hash])).toEqual(new Set());
    await putChunks(orm, run, [one]);
    // PostgreSQL refuses a statement that inserts a row twice.
    await putChunks(orm, run, [one, one]);
    expect(await touchChunks(orm, run, [one.hash, two.hash])).toEqual(new Set([one.hash]));
    const read = await readChunks(orm, run.sessionId, [one.hash, two.hash]);
    expect([...read]).toEqual([[one.hash, Buffer.from("one")]]);
  });

  test.each(["superseded", "ended"])("a run that was %s stores none, and keeps none alive", async (how) => {
    const { orm } = database();
    const run = await seedRun(database(), { ttlMs: EXPIRED_MS });
    await putChunks(orm, run, [one]);
    const past = sql`'2001-01-01'::timestamptz`;
    const own = sql`${sessionChunk.sessionId} = ${run.sessionId}::uuid`;
    await orm.update(sessionChunk).set({ usedAt: past }).where(own);
    if (how === "superseded") await mustClaim(database(), run.promptId);
    else await writerOf(orm, run).finish(COMPLETED);
    await expect(touchChunks(orm, run, [one.hash])).rejects.toThrow(LeaseLost);
    await expect(putChunks(orm, run, [one, two])).rejects.toThrow(LeaseLost);
    expect(await hashesOf(database(), run.sessionId)).toEqual([one.hash]);
    const [row] = await orm.select().from(sessionChunk).where(own);
    expect(row?.usedAt.getUTCFullYear()).toBe(2001);
  });

  test("attack: a session that knows the name of another one's piece has nothing of it", async () => {
    const { orm } = database();
    const victim = await seedRun(database());
    const secret = chunkOf(`secret ${crypto.randomUUID()}`);
    await putChunks(orm, victim, [secret]);
    const thief = await seedRun(database());
    // Neither as what is stored already, nor as what is read.
    expect(await touchChunks(orm, thief, [secret.hash])).toEqual(new Set());
    expect(await readChunks(orm, thief.sessionId, [secret.hash])).toEqual(new Map());
    // Nor can it exchange it.
    await putChunks(orm, thief, [{ hash: secret.hash, data: two.data }]);
    expect((await readChunks(orm, victim.sessionId, [secret.hash])).get(secret.hash)?.toString()).toStartWith(
      "secret",
    );
  });

  test("attack: a piece that unpacks to gigabytes, or is damaged, is as if it were not there; the others are read", async () => {
    const { orm } = database();
    const run = await seedRun(database());
    const bomb = chunkOf(Buffer.alloc(64 * 1024 * 1024));
    expect(bomb.data.length).toBeLessThan(10_000);
    const damaged = { hash: "damaged", data: Buffer.from("no zstd") };
    await putChunks(orm, run, [one, bomb, damaged]);
    const read = await readChunks(orm, run.sessionId, [one.hash, bomb.hash, damaged.hash]);
    expect([...read.keys()]).toEqual([one.hash]);
  });
});
