import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { outbox } from "../../src/db/service-tables.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedRun, writerOf } from "../harness/seed.ts";

describeEachDatabase("the outbox", (database) => {
  /** Creates a run and hands it over, which writes an outbox row. */
  const enqueueRun = async () => {
    const run = await seedRun(database());
    await writerOf(database().orm, run).handOver();
    return run;
  };

  test("a row is claimed by one publisher, and claimed again later if it was not published", async () => {
    const { orm } = database();
    await orm.update(outbox).set({ publishedAt: sql`now()` });
    const { promptId } = await enqueueRun();
    const claims = await Promise.all([claimOutbox(orm, 10), claimOutbox(orm, 10), claimOutbox(orm, 10)]);
    expect(claims.flat()).toMatchObject([{ topic: "prompt-run", payload: { prompt_id: promptId } }]);
    await orm.update(outbox).set({ nextAttemptAt: sql`now()` });
    expect(await claimOutbox(orm, 10)).toEqual(claims.flat());
  });

  test("a row that is due now is claimed at once, although stored times are rounded", async () => {
    const { orm } = database();
    await enqueueRun();
    for (let round = 0; round < 20; round += 1) {
      const claimed = await orm.transaction(async (tx) => {
        await tx.update(outbox).set({ publishedAt: null, nextAttemptAt: sql`now()` });
        return await claimOutbox(tx, 1);
      });
      expect(claimed).toHaveLength(1);
    }
  });
});
