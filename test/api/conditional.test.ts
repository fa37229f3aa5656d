import { expect, test } from "bun:test";
import { deadLetter } from "../../src/db/tables.ts";
import { senderOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

describeEachDatabase("conditional requests", (database) => {
  const send = senderOf(database);
  const create = async (user: string) => {
    const input = { repo: "owner/name", target_branch: "main", messages: [{ content: "One" }] };
    const { sessionId, promptId } = (await send(user, "POST", "/sessions/with-prompt", input)).body;
    const event = { type: "system", subtype: "one" };
    const { id } = (await send(user, "POST", "/messages", { prompt_id: promptId, data: event })).body;
    return { sessionId, promptId, messageId: id };
  };
  const tagOf = async (user: string, path: string) =>
    String((await send(user, "GET", path)).headers.get("etag"));

  test("every read of one thing and every list has an ETag that is 304 until it changes", async () => {
    const user = "admin";
    const { promptId, messageId } = await create(user);
    const id = Bun.randomUUIDv7();
    await database().orm.insert(deadLetter).values({
      id,
      taskType: "prompt-run",
      entityId: promptId,
      userId: user,
      lastError: "It failed.",
    });
    // Of a time that is over: reading the log is noted in it.
    const before = encodeURIComponent(new Date().toISOString());
    const changes: [path: string, change: (() => Promise<unknown>) | undefined][] = [
      ["/me", () => create(user)],
      ["/repositories", () => create(user)],
      [`/prompts/${promptId}`, () => send(user, "PUT", `/prompts/${promptId}`, { data: "Two" })],
      [`/messages/${messageId}`, () => send(user, "PUT", `/messages/${messageId}`, { data: "Two" })],
      ["/dead-letter-queue", undefined],
      [`/dead-letter-queue/${id}`, () => send(user, "POST", `/dead-letter-queue/${id}/resolve`)],
      [`/audit?to=${before}`, undefined],
    ];
    for (const [path, change] of changes) {
      const tag = await tagOf(user, path);
      expect(tag, path).toMatch(/^W\/"[\w.-]{22,}"$/);
      const same = await send(user, "GET", path, undefined, { "if-none-match": `"x", ${tag}` });
      expect([path, same.status, same.body]).toEqual([path, 304, undefined]);
      expect(same.headers.get("cache-control"), path).toBe("private, no-cache");
      if (!change) continue;
      await change();
      const other = await send(user, "GET", path, undefined, { "if-none-match": tag });
      expect([path, other.status]).toEqual([path, 200]);
      expect(other.headers.get("etag"), path).not.toBe(tag);
    }
  });

  test("a session that was read before is read anew once it has changed, and is nobody else's", async () => {
    const { sessionId } = await create("reader");
    const path = `/sessions/${sessionId}`;
    const first = await send("reader", "GET", path);
    const tag = String(first.headers.get("etag"));
    expect((await send("reader", "GET", path.toUpperCase().replace("/SESSIONS", "/sessions"))).body).toEqual(
      first.body,
    );
    expect((await send("stranger", "GET", path)).status).toBe(404);
    expect((await send("reader", "GET", path, undefined, { "if-none-match": tag })).status).toBe(304);
    await send("reader", "PUT", path, { id: sessionId, title: "Another" });
    const other = await send("reader", "GET", path, undefined, { "if-none-match": tag });
    expect([other.status, other.body.session.title]).toEqual([200, "Another"]);
    expect((await send("reader", "GET", path)).body).toEqual(other.body);
    await send("reader", "DELETE", path);
    expect((await send("reader", "GET", path)).status).toBe(404);
  });

  test("a list of dead letters changes its ETag with its entries", async () => {
    const id = Bun.randomUUIDv7();
    const entityId = Bun.randomUUIDv7();
    await database()
      .orm.insert(deadLetter)
      .values({ id, taskType: "prompt-run", entityId, userId: "dora", lastError: "It failed." });
    const tag = await tagOf("dora", "/dead-letter-queue");
    await send("dora", "POST", `/dead-letter-queue/${id}/abandon`);
    expect(await tagOf("dora", "/dead-letter-queue")).not.toBe(tag);
  });

  const user = "ivy";
  const targets = async () => {
    const { sessionId, promptId, messageId } = await create(user);
    return [
      [`/sessions/${sessionId}`, (text: string) => ({ id: sessionId, title: text }), "session.title"],
      [`/prompts/${promptId}`, (text: string) => ({ data: text }), "prompt.data"],
      [`/messages/${messageId}`, (text: string) => ({ data: text }), "message.data"],
    ] as const;
  };
  const valueAt = (body: unknown, path: string) =>
    path.split(".").reduce((value, key) => (value as Record<string, unknown>)[key], body);

  test("a change with the ETag of a former version is 412, and changes nothing", async () => {
    for (const [path, bodyOf, field] of await targets()) {
      const former = await tagOf(user, path);
      const first = await send(user, "PUT", path, bodyOf("First"), { "if-match": former });
      expect([path, first.status]).toEqual([path, 200]);
      const refused = [former, `${former}, W/"x"`, '"nonsense"', "nonsense", ""];
      for (const tag of refused) {
        const late = await send(user, "PUT", path, bodyOf("Late"), { "if-match": tag });
        expect([path, tag, late.status, late.body.code]).toEqual([path, tag, 412, "precondition_failed"]);
      }
      const { body } = await send(user, "GET", path);
      expect(valueAt(body, field)).toBe("First");
    }
  });

  test("a change with the current ETag, in each form that it reaches a client, or with * is done", async () => {
    for (const [path, bodyOf, field] of await targets()) {
      const forms: ((tag: string) => string)[] = [
        (tag) => tag,
        (tag) => tag.slice(2),
        (tag) => `W/"x",${tag}`,
        () => "*",
      ];
      for (const [index, form] of forms.entries()) {
        const tag = form(await tagOf(user, path));
        const reply = await send(user, "PUT", path, bodyOf(`Number ${index}`), { "if-match": tag });
        expect([path, tag, reply.status]).toEqual([path, tag, 200]);
        expect(valueAt((await send(user, "GET", path)).body, field)).toBe(`Number ${index}`);
      }
    }
  });

  test("of several changes with the same ETag at once, one is done", async () => {
    for (const [path, bodyOf, field] of await targets()) {
      const tag = await tagOf(user, path);
      const texts = ["A", "B", "C", "D"];
      const replies = await Promise.all(
        texts.map((text) => send(user, "PUT", path, bodyOf(text), { "if-match": tag })),
      );
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412]);
      const done = texts[replies.findIndex(({ status }) => status === 200)];
      expect(valueAt((await send(user, "GET", path)).body, field)).toBe(done);
    }
  });

  test("what does not exist, or is another user's, is 404 whatever If-Match says", async () => {
    for (const [path, bodyOf] of await targets())
      expect((await send("mallory", "PUT", path, bodyOf("X"), { "if-match": "*" })).status).toBe(404);
  });
});
