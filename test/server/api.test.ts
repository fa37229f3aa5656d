import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { message, outbox, session } from "../../src/db/tables.ts";
import { firstPromptOf, setGeneratedTitle } from "../../src/sessions/store.ts";
import { claimRun, describeEachDatabase, writerOf } from "../harness/databases.ts";
import { realApp } from "../harness/real-app.ts";

const app = await realApp();
const { bob } = app;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("the API", (database) => {
  const send = app.sendTo(database);
  const create = async (text = "Fix the login timeout") =>
    (
      await send("POST", "/sessions/with-prompt", {
        body: { repo: "owner/name", target_branch: "main", messages: [{ content: text }] },
      })
    ).body;

  test("a session with its prompt: one transaction, final-looking at once, listed complete and newest first", async () => {
    const first = await create("The first");
    expect(first).toEqual({
      success: true,
      message: expect.any(String),
      sessionId: expect.stringMatching(UUID),
      promptId: expect.stringMatching(UUID),
    });
    const second = await create();
    const { session: dto } = (await send("GET", `/sessions/${second.sessionId}`)).body;
    expect(dto).toEqual({
      id: second.sessionId,
      sbxConfig: null,
      parent: null,
      branch: expect.stringMatching(/^prompt\/fix-the-login-timeout-\w+$/),
      repo: "owner/name",
      targetBranch: "main",
      title: "Fix the login timeout",
      uiStatus: "Pending",
      inboxStatus: "Pending",
      sessionStatus: "Active",
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      updatedAt: expect.stringMatching(/Z$/),
      deletedAt: null,
      cancellationStatus: null,
      cancelledAt: null,
      cancelledBy: null,
      messages: [
        {
          role: "user",
          content: "Fix the login timeout",
          prompt_id: second.promptId,
          at: expect.any(String),
        },
      ],
    });
    const { sessions } = (await send("GET", "/sessions")).body;
    expect(sessions.slice(0, 2).map(({ id }: { id: string }) => id)).toEqual([
      second.sessionId,
      first.sessionId,
    ]);
    expect(sessions[0]).not.toHaveProperty("messages");
    const topics = await database()
      .orm.select({ topic: outbox.topic })
      .from(outbox)
      .where(eq(outbox.key, second.sessionId));
    expect(topics).toEqual([{ topic: "session-title" }]);
    expect(
      await database()
        .orm.select({ topic: outbox.topic })
        .from(outbox)
        .where(eq(outbox.key, second.promptId)),
    ).toEqual([{ topic: "prompt-run" }]);
  });

  test("a bare session waits; one with messages has its first prompt; a child knows its parent", async () => {
    const bare = await send("POST", "/sessions", { body: { repo: "owner/name", target_branch: "main" } });
    expect(bare.body).toEqual({
      success: true,
      message: expect.any(String),
      id: expect.stringMatching(UUID),
    });
    expect((await send("GET", `/sessions/${bare.body.id}/prompts`)).body).toEqual({ prompts: [] });
    expect((await send("GET", `/sessions/${bare.body.id}`)).body.session).toMatchObject({
      uiStatus: "Pending",
      title: "New session",
    });
    const child = await send("POST", "/sessions", {
      body: {
        repo: "owner/name",
        target_branch: "main",
        parent: bare.body.id,
        messages: [{ content: "go" }],
      },
    });
    expect((await send("GET", `/sessions/${child.body.id}/prompts`)).body.prompts).toMatchObject([
      { data: [{ content: "go" }], status: "Queued", seq: 1 },
    ]);
    expect((await send("GET", `/sessions/${child.body.id}`)).body.session.parent).toBe(bare.body.id);
    expect(
      (
        await send("POST", "/sessions", {
          body: { repo: "owner/name", target_branch: "main", parent: NOWHERE },
        })
      ).status,
    ).toBe(404);
  });

  test("a follow-up is stored as sent, in whatever form, and takes an archived session up again", async () => {
    const { sessionId } = await create();
    await database()
      .orm.update(session)
      .set({ sessionStatus: "Completed", cancellationStatus: "Cancelled" })
      .where(eq(session.id, sessionId));
    const forms = ["text", { content: "x" }, [{ content: "y", type: "text" }]];
    for (const data of forms)
      expect((await send("POST", "/prompts", { body: { session_id: sessionId, data } })).body).toMatchObject({
        success: true,
        id: expect.stringMatching(UUID),
      });
    const { prompts } = (await send("GET", `/sessions/${sessionId}/prompts`)).body;
    expect(prompts.map(({ data }: { data: unknown }) => data)).toEqual([
      [{ content: "Fix the login timeout" }],
      ...forms,
    ]);
    expect(prompts.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2, 3, 4]);
    expect(prompts[0]).toMatchObject({
      id: expect.stringMatching(UUID),
      session_id: sessionId,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
    });
    const { session: dto } = (await send("GET", `/sessions/${sessionId}`)).body;
    expect(dto).toMatchObject({ uiStatus: "Pending", cancellationStatus: null });
    expect(dto.messages.map(({ content }: { content: string }) => content)).toEqual([
      "Fix the login timeout",
      "text",
      "x",
      "y",
    ]);
  });

  test("messages come in order, with their number", async () => {
    const { promptId } = await create();
    const run = await claimRun(database().orm, promptId, "me", 60_000);
    if (!run) throw new Error("not claimed");
    await writerOf(database().orm, run).append([{ type: "system" }, { type: "assistant", uuid: "1" }]);
    const { messages } = (await send("GET", `/prompts/${promptId}/messages`)).body;
    expect(messages).toMatchObject([
      { prompt_id: promptId, seq: 1, data: { type: "system" } },
      {
        prompt_id: promptId,
        seq: 2,
        data: { type: "assistant", uuid: "1" },
        created_at: expect.stringMatching(/Z$/),
      },
    ]);
    expect(await database().orm.$count(message, eq(message.promptId, promptId))).toBe(2);
  });

  test("what is somebody else's does not exist", async () => {
    const { sessionId, promptId } = await create();
    for (const [method, path, body] of [
      ["GET", `/sessions/${sessionId}`],
      ["GET", `/sessions/${sessionId}/prompts`],
      ["GET", `/prompts/${promptId}/messages`],
      ["POST", "/prompts", { session_id: sessionId, data: "x" }],
      ["POST", "/sessions", { repo: "owner/name", target_branch: "main", parent: sessionId }],
    ] as const) {
      expect({ path, status: (await send(method, path, { body, token: bob ?? "" })).status }).toEqual({
        path,
        status: 404,
      });
    }
    expect((await send("GET", "/sessions", { token: bob ?? "" })).body).toEqual({ sessions: [] });
    await database().orm.update(session).set({ deletedAt: new Date() }).where(eq(session.id, sessionId));
    expect((await send("GET", `/sessions/${sessionId}`)).status).toBe(404);
    expect((await send("GET", `/prompts/${promptId}/messages`)).status).toBe(404);
  });

  test("a generated title replaces the derived one only", async () => {
    const { sessionId } = await create("Derive this");
    const { orm } = database();
    expect(await firstPromptOf(orm, sessionId)).toEqual({
      promptText: "Derive this",
      derivedTitle: "Derive this",
    });
    await setGeneratedTitle(orm, sessionId, { from: "Derive this", to: "Better" });
    await setGeneratedTitle(orm, sessionId, { from: "Derive this", to: "Too late" });
    expect((await send("GET", `/sessions/${sessionId}`)).body.session.title).toBe("Better");
  });
});
