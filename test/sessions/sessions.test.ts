import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { idleSandboxes } from "../../src/sandboxes/store.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun } from "../harness/seed.ts";

const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const SANDBOX = { provider: "local", id: NOWHERE, host: "secret-host" } as const;

describeEachDatabase("updating sessions", (database) => {
  const { send, create } = clientOf(database);
  const read = async (id: string) => (await send("GET", `/sessions/${id}`)).body.session;
  const put = (id: string, change: object, user?: string) =>
    send("PUT", `/sessions/${id}`, { id, ...change }, user);
  const store = (id: string, values: Partial<typeof session.$inferInsert>) =>
    database().orm.update(session).set(values).where(eq(session.id, id));
  const promptRow = async (id: string) =>
    (await database().orm.select().from(prompt).where(eq(prompt.id, id)))[0];

  test("a client may send back everything that it read, and nothing changes", async () => {
    const { sessionId } = await create();
    for (const sbxConfig of [null, SANDBOX]) {
      await store(sessionId, { sbxConfig });
      const before = await read(sessionId);
      const { title, branch, repo, parent, uiStatus } = before;
      const reply = await put(sessionId, {
        title,
        branch,
        repo,
        parent,
        target_branch: before.targetBranch,
        sbx_config: before.sbxConfig,
        ui_status: uiStatus,
      });
      expect(reply.body).toEqual({ success: true, message: "Session updated" });
      expect(await read(sessionId)).toEqual(before);
    }
    expect((await read(sessionId)).sbxConfig).toEqual({ provider: "local", id: NOWHERE });
  });

  test("the sandbox cannot be changed by clients", async () => {
    const { sessionId } = await create();
    expect((await put(sessionId, { sbx_config: { provider: "local", id: NOWHERE } })).status).toBe(409);
    await store(sessionId, { sbxConfig: SANDBOX });
    for (const sbx_config of [null, {}, { ...SANDBOX }, { provider: "local", id: "other" }, "x"])
      expect((await put(sessionId, { sbx_config })).status).toBe(409);
    expect((await put(sessionId, { title: "Without it" })).status).toBe(200);
  });

  test("title and parent can be changed", async () => {
    const parent = await create();
    const { sessionId } = await create();
    expect(
      (await put(sessionId, { title: "  Better  ", parent: parent.sessionId.toUpperCase() })).status,
    ).toBe(200);
    expect(await read(sessionId)).toMatchObject({ title: "Better", parent: parent.sessionId });
    await put(sessionId, { title: null });
    expect(await read(sessionId)).toMatchObject({ title: "Better", parent: parent.sessionId });
    expect((await put(parent.sessionId, { parent: sessionId })).status).toBe(422);
    expect((await put(sessionId, { parent: sessionId })).status).toBe(422);
    expect((await put(sessionId, { parent: NOWHERE })).status).toBe(404);
    const others = await create("Bob's", "bob");
    expect((await put(sessionId, { parent: others.sessionId })).status).toBe(404);
    expect((await put(sessionId, { title: " " })).status).toBe(422);
    expect((await put(sessionId, { id: NOWHERE })).status).toBe(422);
    await put(sessionId, { parent: null });
    expect((await read(sessionId)).parent).toBeNull();
  });

  test("repository and branches can be changed until work has started, within the rules of creation", async () => {
    const { sessionId, promptId } = await create();
    const other = await create();
    const { branch } = await read(other.sessionId);
    expect(
      (await put(sessionId, { repo: "other/name", branch: "prompt/mine", target_branch: "dev" })).status,
    ).toBe(200);
    expect(await read(sessionId)).toMatchObject({
      repo: "other/name",
      branch: "prompt/mine",
      targetBranch: "dev",
    });
    expect((await put(sessionId, { repo: "owner/name" })).status).toBe(200);
    expect(await put(sessionId, { branch })).toMatchObject({
      status: 409,
      body: { err: "conflict", code: "branch_taken" },
    });
    expect((await put(sessionId, { branch: "dev" })).status).toBe(422);
    expect((await put(sessionId, { branch: "--force" })).status).toBe(422);
    expect((await put(sessionId, { target_branch: "a..b" })).status).toBe(422);
    expect((await put(sessionId, { repo: "ext::sh" })).status).toBe(422);
    expect(await claimRun(database().orm, promptId)).toBeDefined();
    for (const change of [{ repo: "o/n" }, { branch: "prompt/new" }, { target_branch: "main" }])
      expect((await put(sessionId, change)).status).toBe(409);
    expect((await put(sessionId, { branch: "prompt/mine" })).status).toBe(200);
  });

  test("an archived session stays archived until it is unarchived; system-only states are refused", async () => {
    const { sessionId } = await create();
    expect((await put(sessionId, { ui_status: "NeedsReview" })).status).toBe(409);
    expect((await put(sessionId, { ui_status: "InProgress" })).status).toBe(409);
    expect((await put(sessionId, { ui_status: "Pending" })).status).toBe(200);
    await store(sessionId, { inboxStatus: "Completed", sbxConfig: SANDBOX });
    expect((await put(sessionId, { ui_status: "NeedsReviewIpReturned" })).status).toBe(409);
    for (let twice = 0; twice < 2; twice++)
      expect((await put(sessionId, { ui_status: "Archived" })).status).toBe(200);
    await store(sessionId, { sbxConfig: null });
    expect(await read(sessionId)).toMatchObject({ uiStatus: "Archived", sessionStatus: "Completed" });
    for (let twice = 0; twice < 2; twice++)
      expect((await put(sessionId, { ui_status: "NeedsReview" })).status).toBe(200);
    expect(await read(sessionId)).toMatchObject({
      uiStatus: "NeedsReviewIpReturned",
      sessionStatus: "Active",
    });
    expect((await put(sessionId, { ui_status: "Whatever" })).status).toBe(422);
  });

  test("cancel works in every state and twice, and a later follow-up runs", async () => {
    const { sessionId, promptId } = await create();
    const cancel = async () => (await send("POST", `/sessions/${sessionId}/cancel`)).body;
    for (let twice = 0; twice < 2; twice++) expect(await cancel()).toMatchObject({ success: true });
    const first = await read(sessionId);
    expect(first).toMatchObject({
      cancellationStatus: "Cancelled",
      cancelledBy: "alice",
      cancelledAt: expect.any(String),
      uiStatus: "NeedsReviewIpReturned",
      inboxStatus: "Cancelled",
    });
    expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled", finishedAt: expect.any(Date) });
    expect(await claimRun(database().orm, promptId)).toBeUndefined();
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: "again" })).body;
    expect(await claimRun(database().orm, id)).toBeDefined();
    for (let twice = 0; twice < 2; twice++) expect(await cancel()).toMatchObject({ success: true });
    expect(await read(sessionId)).toMatchObject({ cancellationStatus: "Requested", uiStatus: "InProgress" });
    expect(await promptRow(id)).toMatchObject({ status: "Running", cancelRequestedAt: expect.any(Date) });
    await store(sessionId, { sessionStatus: "Completed" });
    await cancel();
    expect((await read(sessionId)).uiStatus).toBe("Archived");
  });

  test("a deleted session is gone, its prompts are cancelled and its sandbox is idle; the second time is 404", async () => {
    const { sessionId, promptId } = await create();
    await store(sessionId, { sbxConfig: SANDBOX });
    expect((await send("DELETE", `/sessions/${sessionId}`)).body).toEqual({
      success: true,
      message: "Session deleted",
    });
    expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled" });
    for (const [method, path, body] of [
      ["GET", `/sessions/${sessionId}`],
      ["DELETE", `/sessions/${sessionId}`],
      ["POST", `/sessions/${sessionId}/cancel`],
      ["PUT", `/sessions/${sessionId}`, { id: sessionId, title: "x" }],
      ["POST", "/prompts", { session_id: sessionId, data: "x" }],
      ["GET", `/prompts/${promptId}`],
      ["POST", "/messages", { prompt_id: promptId, data: {} }],
    ] as const)
      expect([method, path, (await send(method, path, body)).status]).toEqual([method, path, 404]);
    const { sessions } = (await send("GET", "/sessions")).body;
    expect(sessions.map(({ id }: { id: string }) => id)).not.toContain(sessionId);
    const idle = await idleSandboxes(database().orm);
    expect(idle.map((one) => one.sessionId)).toContain(sessionId);
  });

  test("another user's sessions, prompts and messages do not exist", async () => {
    const { sessionId, promptId } = await create();
    const { id } = (await send("POST", "/messages", { prompt_id: promptId, data: {} })).body;
    for (const [method, path, body] of [
      ["PUT", `/sessions/${sessionId}`, { id: sessionId, title: "x" }],
      ["DELETE", `/sessions/${sessionId}`],
      ["POST", `/sessions/${sessionId}/cancel`],
      ["GET", `/prompts/${promptId}`],
      ["PUT", `/prompts/${promptId}`, { data: "x" }],
      ["DELETE", `/prompts/${promptId}`],
      ["POST", "/messages", { prompt_id: promptId, data: {} }],
      ["GET", `/messages/${id}`],
      ["PUT", `/messages/${id}`, { data: "x" }],
      ["DELETE", `/messages/${id}`],
    ] as const)
      for (const user of ["bob", "admin"])
        expect([method, path, user, (await send(method, path, body, user)).status]).toEqual([
          method,
          path,
          user,
          404,
        ]);
  });
});
