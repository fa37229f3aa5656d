import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { idempotencyKey } from "../../src/db/service-tables.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

const wanted = { repo: "owner/name", target_branch: "main", messages: "go" };

describeEachDatabase("Idempotency-Key", (database) => {
  const post = (path: string, body: unknown, key: string, user = "alice") =>
    ask(makeApp({ database: database() }), user, "POST", path, body, { "idempotency-key": key });

  test("of 20 concurrent requests one creates, and all get the same reply", async () => {
    const user = "many";
    const all = await Promise.all(
      Array.from({ length: 20 }, () => post("/sessions/with-prompt", wanted, "one", user)),
    );
    expect(new Set(all.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
    expect(all[0]?.body.success).toBe(true);
    expect(all.filter(({ headers }) => headers.get("idempotency-replayed") === "true")).toHaveLength(19);
    expect(await database().orm.$count(session, eq(session.userId, user))).toBe(1);
    expect(await database().orm.$count(prompt, eq(prompt.userId, user))).toBe(1);
  });

  test("is supported by every operation that creates", async () => {
    const first = await post("/sessions", wanted, "a");
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    const again = await post("/sessions", { ...wanted }, "a");
    expect([again.body, again.headers.get("idempotency-replayed")]).toEqual([first.body, "true"]);
    const follow = { session_id: first.body.id, data: "more" };
    const one = await post("/prompts", follow, "b");
    expect((await post("/prompts", follow, "b")).body).toEqual(one.body);
    expect(await database().orm.$count(prompt, eq(prompt.sessionId, first.body.id))).toBe(2);
    const event = { prompt_id: one.body.id, data: { type: "user" } };
    const made = await post("/messages", event, "c");
    expect((await post("/messages", event, "c")).body).toEqual(made.body);
    expect(await database().orm.$count(message, eq(message.promptId, one.body.id))).toBe(1);
  });

  test("another body or operation with the same key is refused; the order of fields makes no difference", async () => {
    const { body } = await post("/sessions", wanted, "d");
    const turned = { messages: "go", target_branch: "main", repo: "owner/name" };
    expect((await post("/sessions", turned, "d")).body).toEqual(body);
    expect((await post("/sessions", { ...wanted, repo: "owner/other" }, "d")).status).toBe(409);
    expect((await post("/sessions/with-prompt", wanted, "d")).status).toBe(409);
    expect((await post("/sessions", wanted, "d", "bob")).body.id).not.toBe(body.id);
  });

  test("a request that failed leaves its key unused", async () => {
    const missing = { ...wanted, parent: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708" };
    expect((await post("/sessions", missing, "e")).status).toBe(404);
    expect((await post("/sessions", wanted, "e")).status).toBe(200);
  });

  test("after 24 hours a key is unknown again", async () => {
    const { body } = await post("/sessions", wanted, "f");
    const age = (hours: number) =>
      database()
        .orm.update(idempotencyKey)
        .set({ createdAt: sql`now() - ${hours}::int * interval '1 hour'` })
        .where(eq(idempotencyKey.key, "f"));
    await age(23);
    expect((await post("/sessions", wanted, "f")).body).toEqual(body);
    await age(25);
    const later = await post("/sessions", { ...wanted, repo: "owner/other" }, "f");
    expect([later.status, later.body.id === body.id]).toEqual([200, false]);
    expect((await post("/sessions", wanted, "f")).status).toBe(409);
  });

  test("keys of 1 to 255 printable characters", async () => {
    for (const key of ["", "x".repeat(256), "a\tb", "é"])
      expect([key, (await post("/sessions", wanted, key)).status]).toEqual([key, 400]);
    expect((await post("/sessions", wanted, "x".repeat(255))).status).toBe(200);
  });
});
