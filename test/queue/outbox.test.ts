import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { outbox } from "../../src/db/tables.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { claimIn } from "../runs/rows.ts";

describeEachDatabase("the outbox", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("a row is claimed by one publisher, and claimed again later if it was not published", async () => {
    const { orm } = database();
    await orm.update(outbox).set({ publishedAt: sql`now()` });
    const { promptIds } = await seedSession(database(), 1);
    await writerOf(orm, await claim(promptIds[0] ?? "")).handOver();
    const claims = await Promise.all([claimOutbox(orm, 10), claimOutbox(orm, 10), claimOutbox(orm, 10)]);
    expect(claims.flat()).toMatchObject([{ topic: "prompt-run", payload: { prompt_id: promptIds[0] } }]);
    await orm.update(outbox).set({ nextAttemptAt: sql`now()` });
    expect(await claimOutbox(orm, 10)).toEqual(claims.flat());
  });

  test("a row that is due now is claimed at once, although stored times may be rounded up", async () => {
    const { orm } = database();
    const { promptIds } = await seedSession(database(), 1);
    await writerOf(orm, await claim(promptIds[0] ?? "")).handOver();
    for (let round = 0; round < 20; round += 1) {
      const claimed = await orm.transaction(async (tx) => {
        await tx.update(outbox).set({ publishedAt: null, nextAttemptAt: sql`now()` });
        return await claimOutbox(tx, 1);
      });
      expect(claimed).toHaveLength(1);
    }
  });
});
