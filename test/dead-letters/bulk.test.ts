import { expect, test } from "bun:test";
import { eq, inArray } from "drizzle-orm";
import { sealAudit } from "../../src/audit/seal-store.ts";
import { auditEvent } from "../../src/db/safety-tables.ts";
import { deadLetter, prompt } from "../../src/db/tables.ts";
import { actOnDeadLetters } from "../../src/dead-letters/bulk-store.ts";
import { senderOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedPrompt } from "../harness/seed.ts";

const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("dead letters in bulk", (database) => {
  const send = senderOf(database);
  const bulk = (user: string, body: unknown) => send(user, "POST", "/dead-letter-queue/bulk", body);
  const dead = async (userId: string) => {
    const { promptId } = await seedPrompt(database());
    await database().orm.update(prompt).set({ status: "Failed" }).where(eq(prompt.id, promptId));
    const id = Bun.randomUUIDv7();
    await database()
      .orm.insert(deadLetter)
      .values({ id, taskType: "prompt-run", entityId: promptId, userId, lastError: "It broke." });
    return { id, promptId };
  };
  const rows = (ids: string[]) => database().orm.select().from(deadLetter).where(inArray(deadLetter.id, ids));
  const actsOn = async (id: string) => {
    await sealAudit(database().orm);
    const found = await database()
      .orm.select()
      .from(auditEvent)
      .where(eq(auditEvent.target, `dead_letter:${id}`))
      .orderBy(auditEvent.seq);
    return found.map(({ actor, action }) => `${actor} ${action}`);
  };

  test("each entry by itself: what cannot be done keeps no other from it, and others' do not exist", async () => {
    const [one, foreign, two] = [await dead("ann"), await dead("ben"), await dead("ann")];
    await send("ann", "POST", `/dead-letter-queue/${two.id}/abandon`);
    const ids = [two.id, foreign.id, NOWHERE, one.id];
    const reply = await bulk("ann", { action: "resolve", ids, resolution_notes: "Known" });
    expect(reply).toMatchObject({ status: 200 });
    expect(reply.body.results).toEqual([
      { id: two.id, success: false, message: expect.any(String), code: "dead_letter_closed" },
      { id: foreign.id, success: false, message: expect.any(String), code: "dead_letter_not_found" },
      { id: NOWHERE, success: false, message: expect.any(String), code: "dead_letter_not_found" },
      { id: one.id, success: true, message: "Dead letter resolved" },
    ]);
    expect(await rows([one.id])).toMatchObject([
      { status: "Resolved", resolutionNotes: "Known", resolvedBy: "ann" },
    ]);
    expect(await rows([foreign.id])).toMatchObject([{ status: "Pending", resolvedBy: null }]);
    expect(await actsOn(one.id)).toEqual(["ann dead_letter.resolve"]);
    expect(await actsOn(foreign.id)).toEqual([]);
  });

  test("retries, and abandons; a repetition does nothing twice", async () => {
    const [one, two] = [await dead("cleo"), await dead("cleo")];
    await database().orm.update(prompt).set({ status: "Completed" }).where(eq(prompt.id, two.promptId));
    const ids = [two.id, one.id];
    const { results } = (await bulk("cleo", { action: "retry", ids })).body;
    expect(results).toMatchObject([
      { success: false, code: "nothing_to_retry" },
      { success: true, message: "Queued again; the dead letter is resolved" },
    ]);
    const [revived] = await database().orm.select().from(prompt).where(eq(prompt.id, one.promptId));
    expect(revived?.status).toBe("Queued");
    const again = (await bulk("cleo", { action: "abandon", ids })).body.results;
    expect(again).toMatchObject([{ success: true }, { success: false, code: "dead_letter_closed" }]);
    expect(await actsOn(one.id)).toEqual(["cleo dead_letter.retry"]);
    expect(await actsOn(two.id)).toEqual(["cleo dead_letter.abandon"]);
  });

  test("an admin acts on entries of others, as themselves", async () => {
    const [one, two, three] = [await dead("eve"), await dead("finn"), await dead("finn")];
    for (const [action, { id }] of [
      ["resolve", one],
      ["abandon", two],
      ["retry", three],
    ] as const) {
      const { results } = (await bulk("admin", { action, ids: [id], resolution_notes: "By hand" })).body;
      expect(results).toMatchObject([{ id, success: true }]);
      expect(await actsOn(id)).toEqual([`admin dead_letter.${action}`]);
    }
    const all = await rows([one.id, two.id, three.id]);
    expect(new Map(all.map(({ id, status }) => [id, status]))).toEqual(
      new Map([
        [one.id, "Resolved"],
        [two.id, "Abandoned"],
        [three.id, "Resolved"],
      ]),
    );
    // Of a retry, too: its notes are those of the request.
    for (const row of all) expect(row).toMatchObject({ resolvedBy: "admin", resolutionNotes: "By hand" });
    const [seen] = await database()
      .orm.select()
      .from(auditEvent)
      .where(eq(auditEvent.target, `dead_letter:${two.id}`));
    expect(seen?.detail).toEqual({ owner: "finn", as: "admin" });
  });

  test("an error that is none of the entry's ends it: the first ones are done, and it is told", async () => {
    const entries = [await dead("gus"), await dead("gus"), await dead("gus")];
    const ids = entries.map(({ id }) => id);
    const { orm } = database();
    let transactions = 0;
    const breaking = new Proxy(orm, {
      get(target, name, receiver) {
        if (name === "transaction" && ++transactions === 2)
          return () => Promise.reject(new Error("the database is gone"));
        return Reflect.get(target, name, receiver);
      },
    });
    const wanted = { viewer: { userId: "gus", admin: false }, action: "resolve", ids, notes: null } as const;
    await expect(actOnDeadLetters(breaking, wanted)).rejects.toThrow("the database is gone");
    expect((await rows(ids)).filter(({ status }) => status === "Resolved").map(({ id }) => id)).toEqual([
      ids[0] ?? "",
    ]);
    const again = await actOnDeadLetters(orm, wanted);
    expect(again.map(({ success }) => success)).toEqual([false, true, true]);
  });

  test("takes 1 to 100 different ids, and a known action", async () => {
    const many = Array.from({ length: 101 }, () => Bun.randomUUIDv7());
    for (const body of [
      { action: "resolve", ids: [] },
      { action: "resolve", ids: many },
      { action: "resolve", ids: [NOWHERE, NOWHERE] },
      { action: "resolve" },
      { action: "delete", ids: [NOWHERE] },
      { action: "resolve", ids: [NOWHERE], kind: "poison" },
    ])
      expect((await bulk("dan", body)).status).toBe(422);
  });
});
