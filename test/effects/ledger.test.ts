import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { effect } from "../../src/db/effect-tables.ts";
import {
  beginEffect,
  claimEffect,
  EffectTaken,
  intend,
  postponeEffect,
  readEffect,
  settleEffect,
} from "../../src/effects/ledger-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";

describeEachDatabase("the ledger of effects", (database) => {
  const wanted = async () => {
    const { sessionId } = await seedSession(database(), 1);
    const what = { sessionId, kind: "merge", target: "https://git.example/a/b#main", key: "1 abc" } as const;
    const want = (method = "merge") =>
      database().orm.transaction((tx) => intend(tx, { ...what, request: { number: 1, method } }));
    return { want, id: await want() };
  };
  /** Those that other tests have left are claimed on the way. */
  const claim = async (id: string) => {
    let one = await claimEffect(database().orm);
    while (one && one.id !== id) one = await claimEffect(database().orm);
    return one;
  };
  const mustClaim = async (id: string) => {
    const claimed = await claim(id);
    if (!claimed) throw new Error("it is not due");
    return claimed;
  };
  const makeDue = (id: string) =>
    database()
      .orm.update(effect)
      .set({ dueAt: new Date(0) })
      .where(eq(effect.id, id));

  test("an intent that is repeated is one effect, and one that is done is never done again", async () => {
    const { want, id } = await wanted();
    const { orm } = database();
    expect(await want("squash")).toBe(id);
    const claimed = await mustClaim(id);
    expect(claimed.request).toMatchObject({ method: "merge" });
    await settleEffect(orm, claimed, { status: "done", result: {} });
    expect(await want()).toBe(id);
    expect(await readEffect(orm, id)).toMatchObject({ status: "done", dueAt: null });
    expect(await claim(id)).toBeUndefined();
  });

  test("one that has failed is tried again as it is wanted then", async () => {
    const { want, id } = await wanted();
    await settleEffect(database().orm, await mustClaim(id), { status: "failed", result: { reason: "no" } });
    expect(await want("squash")).toBe(id);
    expect(await mustClaim(id)).toMatchObject({
      status: "intended",
      request: { method: "squash" },
      result: null,
    });
  });

  test("nobody else has one while its lease lasts; afterwards, what its first runner writes changes nothing", async () => {
    const { id } = await wanted();
    const { orm } = database();
    const first = await mustClaim(id);
    await beginEffect(orm, first);
    expect(await claim(id)).toBeUndefined();
    await makeDue(id);
    const second = await mustClaim(id);
    expect(second).toMatchObject({ status: "uncertain", attempts: 2 });
    for (const late of [
      () => beginEffect(orm, first),
      () => settleEffect(orm, first, { status: "done", result: {} }),
      () => postponeEffect(orm, first, { delayMs: 1, result: {}, certain: true }),
    ])
      await expect(late()).rejects.toBeInstanceOf(EffectTaken);
    await postponeEffect(orm, second, { delayMs: 60_000, result: { reason: "later" }, certain: false });
    expect(await readEffect(orm, id)).toMatchObject({ status: "uncertain", result: { reason: "later" } });
    expect(await claim(id)).toBeUndefined();
  });
});
