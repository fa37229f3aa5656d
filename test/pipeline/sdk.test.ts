import { expect, test } from "bun:test";
import {
  Configuration,
  DeadLetterQueueApi,
  DefaultApi,
  DlqStatus,
  HealthApi,
  UiStatus,
} from "@wholelottahoopla/prompt-backend-client";
import { makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun, writerOf } from "../harness/seed.ts";

describeEachDatabase("the published SDK", (database) => {
  test("manages a session and its dead letter from creation to the end", async () => {
    const { orm } = database();
    const app = makeApp({ database: database() });
    const config = new Configuration({
      basePath: "http://localhost",
      accessToken: "sdk",
      fetchApi: (async (url: string, init: RequestInit) =>
        app.handle(new Request(url, init))) as typeof fetch,
    });
    const api = new DefaultApi(config);
    const dead = new DeadLetterQueueApi(config);
    const done = { success: true, message: expect.any(String) };

    expect(await new HealthApi(config).handlersHealthHealth()).toEqual({ status: "ok" });
    const { sessionId, promptId } = await api.handlersSessionsCreateWithPrompt({
      createSessionWithPromptInput: {
        repo: "owner/name",
        targetBranch: "main",
        messages: [{ content: "go" }],
      },
    });
    const bare = await api.handlersSessionsCreate({
      createSessionInput: { repo: "owner/name", targetBranch: "main", parent: sessionId },
    });
    const { session } = await api.handlersSessionsRead({ id: bare.id });
    expect(session).toMatchObject({ id: bare.id, parent: sessionId, uiStatus: UiStatus.Pending });
    expect((await api.handlersSessionsList()).sessions.map(({ id }) => id)).toEqual([bare.id, sessionId]);
    // Like the web UI: sends back everything that it read, with one change.
    for (const uiStatus of [UiStatus.Archived, UiStatus.Archived])
      expect(
        await api.handlersSessionsUpdate({ id: bare.id, updateSessionInput: { ...session, uiStatus } }),
      ).toEqual(done);
    expect((await api.handlersSessionsRead({ id: bare.id })).session.uiStatus).toBe(UiStatus.Archived);

    const followUp = [{ content: "more", type: "text" }];
    const { id } = await api.handlersPromptsCreate({ createPromptInput: { sessionId, data: followUp } });
    expect((await api.handlersPromptsRead({ id })).prompt).toMatchObject({ id, sessionId, data: followUp });
    expect(await api.handlersPromptsUpdate({ id, updatePromptInput: { data: "else" } })).toEqual(done);
    expect((await api.handlersPromptsList({ sessionId })).prompts.map(({ data }) => data)).toEqual([
      [{ content: "go" }],
      "else",
    ]);
    expect(await api.handlersPromptsDelete({ id })).toEqual(done);

    const made = await api.handlersMessagesCreate({
      createMessageInput: { promptId, data: { type: "user" } },
    });
    expect(await api.handlersMessagesUpdate({ id: made.id, updateMessageInput: { data: { n: 1 } } })).toEqual(
      done,
    );
    expect((await api.handlersMessagesRead({ id: made.id })).message).toMatchObject({
      promptId,
      data: { n: 1 },
    });
    expect((await api.handlersMessagesList({ promptId })).messages).toHaveLength(1);
    expect(await api.handlersMessagesDelete({ id: made.id })).toEqual(done);

    for (const close of ["resolve", "abandon"] as const) {
      const created = await api.handlersPromptsCreate({ createPromptInput: { sessionId, data: "x" } });
      const next = close === "resolve" ? promptId : created.id;
      const run = await claimRun(orm, next);
      if (!run) throw new Error("not claimed");
      const end = { error: "Broken", errorKind: "poison", usage: {}, content: "", dead: true } as const;
      await writerOf(orm, run).finish({ ...end, status: "Failed" });
      if (close === "abandon") break;
      await api.handlersPromptsDelete({ id: created.id });
    }
    const { entries } = await dead.handlersDeadLetterQueueListDlqEntries({ status: "pending" });
    expect(entries.map(({ taskType, status }) => [taskType, status])).toEqual([
      ["prompt-run", DlqStatus.Pending],
      ["prompt-run", DlqStatus.Pending],
    ]);
    const [one = "", two = ""] = entries.map((entry) => entry.id);
    const notes = { resolutionNotes: "seen" };
    expect(await dead.handlersDeadLetterQueueResolveDlq({ id: one, resolveDlqInput: notes })).toEqual(done);
    expect(await dead.handlersDeadLetterQueueAbandonDlq({ id: two, abandonDlqInput: notes })).toEqual(done);
    expect(await dead.handlersDeadLetterQueueGetDlqEntry({ id: one })).toMatchObject({
      status: DlqStatus.Resolved,
      ...notes,
    });

    expect(await api.handlersSessionsCancel({ id: sessionId })).toEqual(done);
    expect(await api.handlersSessionsDelete({ id: sessionId })).toEqual(done);
    expect((await api.handlersSessionsList()).sessions.map((left) => left.id)).toEqual([bare.id]);
  });
});
