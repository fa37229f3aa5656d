import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { senderOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

describeEachDatabase("push and fork", (database) => {
  const send = senderOf(database);
  const create = async (user = "alice") =>
    (
      await send(user, "POST", "/sessions/with-prompt", {
        ...{ repo: "owner/name", target_branch: "main", messages: "Do it" },
      })
    ).body as { sessionId: string; promptId: string };
  const end = (id: string) =>
    database()
      .orm.update(prompt)
      .set({ status: "Completed", finishedAt: new Date(), commit: "abc" })
      .where(eq(prompt.id, id));

  test("a push is a prompt of its own kind, which has no text to change", async () => {
    const { sessionId, promptId } = await create();
    const { status, body } = await send("alice", "POST", `/sessions/${sessionId}/push`);
    expect(status).toBe(200);
    const path = `/prompts/${body.prompt_id}`;
    const read = async (where: string) => (await send("alice", "GET", where)).body.prompt;
    expect(await read(path)).toMatchObject({
      kind: "push",
      seq: 2,
      status: "Queued",
      commit: null,
      session_id: sessionId,
    });
    expect(await read(`/prompts/${promptId}`)).toMatchObject({ kind: "agent" });
    expect(await send("alice", "PUT", path, { data: "Do something" })).toMatchObject({ status: 422 });
    expect((await send("alice", "DELETE", path)).status).toBe(200);
  });

  test("a fork is a session of its own, with its parent's repository", async () => {
    const { sessionId, promptId } = await create();
    expect(await send("alice", "POST", `/sessions/${sessionId}/fork`, {})).toMatchObject({
      status: 409,
      body: { code: "prompt_unfinished" },
    });
    await end(promptId);
    const { status, body } = await send("alice", "POST", `/sessions/${sessionId}/fork`, {
      prompt_id: promptId,
    });
    expect(status).toBe(200);
    const read = async (id: string) => (await send("alice", "GET", `/sessions/${id}`)).body.session;
    const [original, fork] = [await read(sessionId), await read(body.id)];
    expect(fork).toMatchObject({
      parent: sessionId,
      repo: "owner/name",
      targetBranch: "main",
      uiStatus: "Pending",
    });
    expect(fork.branch).not.toBe(original.branch);
    expect(fork.messages.map(({ content }: { content: string }) => content)).toEqual(["Do it"]);
    const moved = await send("alice", "PUT", `/sessions/${body.id}`, { id: body.id, repo: "owner/other" });
    expect(moved).toMatchObject({ status: 409, body: { code: "session_started" } });
    // With the original gone, the fork is whole.
    expect((await send("alice", "DELETE", `/sessions/${sessionId}`)).status).toBe(200);
    expect((await read(body.id)).messages).toHaveLength(1);
  });

  test("a fork has the title that it is given, and a branch with its words", async () => {
    const { sessionId, promptId } = await create();
    await end(promptId);
    const fork = async (body: object) => {
      const { id } = (await send("alice", "POST", `/sessions/${sessionId}/fork`, body)).body;
      return (await send("alice", "GET", `/sessions/${id}`)).body.session;
    };
    expect(await fork({ prompt_id: promptId, title: " Another way " })).toMatchObject({
      title: "Another way",
      branch: expect.stringMatching(/^prompt\/another-way-/),
    });
    expect((await fork({})).title).toBe("Fork of Do it");
  });

  // The key's fingerprint was of the route's pattern: the second session's fork would have been the first one's.
  test("an Idempotency-Key belongs to the session that it was sent about", async () => {
    const [one, two] = [await create(), await create()];
    for (const { promptId } of [one, two]) await end(promptId);
    const key = { "idempotency-key": crypto.randomUUID() };
    const fork = (id: string) => send("alice", "POST", `/sessions/${id}/fork`, {}, key);
    const first = await fork(one.sessionId);
    expect(first.status).toBe(200);
    expect((await fork(one.sessionId)).body.id).toBe(first.body.id);
    expect(await fork(two.sessionId)).toMatchObject({
      status: 409,
      body: { code: "idempotency_key_reused" },
    });
  });

  test("are only for the session's user, and refuse what they do not know", async () => {
    const { sessionId, promptId } = await create();
    await end(promptId);
    for (const path of [`/sessions/${sessionId}/push`, `/sessions/${sessionId}/fork`]) {
      expect((await send("bob", "POST", path, {})).status).toBe(404);
      expect((await send("alice", "POST", path.replace(sessionId, crypto.randomUUID()), {})).status).toBe(
        404,
      );
    }
    const foreign = await create("bob");
    const wrong = [
      ...[{ prompt_id: "1" }, { prompt_id: null }, { prompt_id: foreign.promptId }, []],
      ...[{ title: " " }, { title: 5 }, { title: "x".repeat(501) }],
    ];
    const statuses = [];
    for (const body of wrong)
      statuses.push((await send("alice", "POST", `/sessions/${sessionId}/fork`, body)).status);
    expect(statuses).toEqual([422, 422, 404, 422, 422, 422, 422]);
    expect((await send("alice", "POST", `/sessions/${sessionId}/fork`)).status).toBe(200);
  });
});
