import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { outbox } from "../../src/db/service-tables.ts";
import { firstPromptOf, setGeneratedTitle } from "../../src/sessions/store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { realApp } from "../harness/real-app.ts";

const app = await realApp();
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("creating sessions", (database) => {
  const send = app.sendTo(database);
  const create = app.createIn(database);

  test("a session and its prompt are created together, with title and branch, and listed newest first", async () => {
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
      ...{ waitingFor: null, waitingReason: null, nextAttemptAt: null },
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      updatedAt: expect.stringMatching(/Z$/),
      deletedAt: null,
      cancellationStatus: null,
      cancelledAt: null,
      cancelledBy: null,
      ...{ agent: null, model: null, mode: "auto" },
      commentsVersion: 0,
      promptsVersion: 1,
      unread: false,
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

  test("without messages there is no prompt; messages become the first prompt; the parent is stored", async () => {
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

  test("a generated title replaces the derived title only", async () => {
    const { sessionId } = await create("Derive this");
    const { orm } = database();
    expect(await firstPromptOf(orm, sessionId)).toMatchObject({
      promptText: "Derive this",
      derivedTitle: "Derive this",
    });
    await setGeneratedTitle(orm, sessionId, { from: "Derive this", to: "Better" });
    await setGeneratedTitle(orm, sessionId, { from: "Derive this", to: "Too late" });
    expect((await send("GET", `/sessions/${sessionId}`)).body.session.title).toBe("Better");
  });
});
