import { expect, test } from "bun:test";
import {
  Configuration,
  DeadLetterQueueApi,
  DefaultApi,
  HealthApi,
  ResponseError,
} from "@wholelottahoopla/prompt-backend-client";
import { SQL } from "bun";
import { createDeployment, runProgram, startBackend } from "../harness/backend.ts";
import { compiledBinary } from "../harness/binary.ts";
import { makeRepository } from "../harness/repository.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const SECRET = "webhook-secret-0123456789";
const OPERATIONS = 23;

describeWith("postgres", "the published client", () => {
  test("calls every operation of the contract on the executable, and parses every response", async () => {
    const binary = await compiledBinary();
    await using deployment = await createDeployment("postgres");
    const env = { AUTH_MODE: "local", WEBHOOK_SECRET: SECRET };
    await using backend = await startBackend(deployment, { binary, env });
    const repository = await makeRepository();
    const token = await runProgram(["token", "--user", "ada"], {
      env: { ...deployment.env, ...env },
      cwd: deployment.folder,
    });
    const accessToken = token.stdout.trim().split("\n").at(-1) ?? "";
    const used = new Set<string>();
    const withToken = (value: string) =>
      new Configuration({
        basePath: backend.url,
        accessToken: value,
        middleware: [
          {
            async post({ response }) {
              // The client parses every successful response as JSON.
              if (response.ok) expect(response.headers.get("content-type")).toContain("application/json");
              return response;
            },
          },
        ],
      });
    /** Records the names of the operations that are called. */
    const counted = <T extends object>(api: T): T =>
      new Proxy(api, {
        get(target, name, receiver) {
          if (typeof name === "string" && /^handlers/.test(name) && !name.endsWith("Raw")) used.add(name);
          return Reflect.get(target, name, receiver);
        },
      });
    const api = counted(new DefaultApi(withToken(accessToken)));
    const letters = counted(new DeadLetterQueueApi(withToken(accessToken)));
    expect(await counted(new HealthApi(withToken(""))).handlersHealthHealth()).toEqual({ status: "ok" });

    // A session with a prompt that is executed.
    const created = await api.handlersSessionsCreateWithPrompt({
      createSessionWithPromptInput: {
        repo: repository.path,
        targetBranch: "main",
        messages: [{ content: "Write it down" }],
      },
    });
    expect(created).toMatchObject({ success: true });
    const { sessionId, promptId } = created;
    await until(
      async () =>
        (await api.handlersSessionsRead({ id: sessionId })).session.uiStatus === "NeedsReviewIpReturned",
      { what: "the session to need review", timeoutMs: 30_000 },
    );
    const { session } = await api.handlersSessionsRead({ id: sessionId });
    expect(session).toMatchObject({ repo: repository.path, targetBranch: "main", title: "Write it down" });
    const { prompts } = await api.handlersPromptsList({ sessionId });
    expect(prompts).toMatchObject([{ id: promptId, sessionId, data: [{ content: "Write it down" }] }]);
    expect((await api.handlersPromptsRead({ id: promptId })).prompt).toMatchObject({ id: promptId });
    const { messages } = await api.handlersMessagesList({ promptId });
    const [first] = messages;
    expect(messages.length).toBeGreaterThan(1);
    expect((await api.handlersMessagesRead({ id: first?.id ?? "" })).message).toEqual(
      first as NonNullable<typeof first>,
    );

    // A user's own messages, on a finished prompt.
    const { id: messageId } = await api.handlersMessagesCreate({
      createMessageInput: {
        promptId,
        data: { type: "assistant", message: { role: "assistant", content: [] } },
      },
    });
    await api.handlersMessagesUpdate({ id: messageId, updateMessageInput: { data: { changed: true } } });
    expect((await api.handlersMessagesRead({ id: messageId })).message.data).toEqual({ changed: true });
    await api.handlersMessagesDelete({ id: messageId });
    await gone(() => api.handlersMessagesRead({ id: messageId }));

    // A session without a prompt: updated, archived, unarchived.
    const { id } = await api.handlersSessionsCreate({
      createSessionInput: { repo: repository.path, targetBranch: "main" },
    });
    await api.handlersSessionsUpdate({ id, updateSessionInput: { id, title: "Another title" } });
    expect((await api.handlersSessionsRead({ id })).session.title).toBe("Another title");
    await api.handlersSessionsUpdate({ id, updateSessionInput: { id, uiStatus: "Archived" } });
    const listed = await api.handlersSessionsList();
    expect(listed.sessions.find((one) => one.id === id)).toMatchObject({ uiStatus: "Archived" });
    expect(listed.sessions).toHaveLength(2);

    // A prompt that waits behind another one: updated, deleted; then the session is cancelled.
    const behind = await waitingPrompt();
    await api.handlersPromptsUpdate({ id: behind, updatePromptInput: { data: "Something else" } });
    expect((await api.handlersPromptsRead({ id: behind })).prompt.data).toBe("Something else");
    await api.handlersPromptsDelete({ id: behind });
    await gone(() => api.handlersPromptsRead({ id: behind }));
    expect(await api.handlersSessionsCancel({ id })).toMatchObject({ success: true });
    expect(await api.handlersSessionsCancel({ id })).toMatchObject({ success: true });
    await api.handlersSessionsDelete({ id });
    await gone(() => api.handlersSessionsRead({ id }));

    // Dead letters: listed by their user, then resolved and abandoned.
    const [one = "", two = ""] = await deadLetters();
    const { entries } = await letters.handlersDeadLetterQueueListDlqEntries({ status: "pending" });
    expect(entries.map((entry) => entry.id).toSorted()).toEqual([one, two].toSorted());
    expect(await letters.handlersDeadLetterQueueGetDlqEntry({ id: one })).toMatchObject({
      id: one,
      taskType: "prompt-run",
      status: "Pending",
    });
    await letters.handlersDeadLetterQueueResolveDlq({
      id: one,
      resolveDlqInput: { resolutionNotes: "Seen to" },
    });
    await letters.handlersDeadLetterQueueAbandonDlq({ id: two, abandonDlqInput: {} });
    expect(await letters.handlersDeadLetterQueueGetDlqEntry({ id: one })).toMatchObject({
      status: "Resolved",
      resolutionNotes: "Seen to",
    });

    const webhooks = counted(
      new DefaultApi(
        new Configuration({ basePath: backend.url, headers: { authorization: `Bearer ${SECRET}` } }),
      ),
    );
    expect(
      await webhooks.handlersWebhooksReturnItem({ returnItemInput: { item: { id: "unknown" } } }),
    ).toMatchObject({ success: true });
    expect([...used].toSorted()).toHaveLength(OPERATIONS);
    await repository.remove();

    /** A follow-up that cannot start, because the session's first prompt is postponed. */
    async function waitingPrompt(): Promise<string> {
      await using sql = new SQL({ url: deployment.env["DATABASE_URL"] ?? "", max: 1 });
      const { id: ahead } = await api.handlersPromptsCreate({
        createPromptInput: { sessionId: id, data: [{ content: "Wait", type: "text" }] },
      });
      await until(
        async () => {
          const [row] = await sql`select status from prompt where id = ${ahead}`;
          return row.status !== "Queued" && row.status !== "Running";
        },
        { what: "the first prompt to end" },
      );
      await sql`update prompt set status = 'Queued', not_before = now() + interval '1 hour' where id = ${ahead}`;
      const { id: waiting } = await api.handlersPromptsCreate({
        createPromptInput: { sessionId: id, data: [{ content: "Behind", type: "text" }] },
      });
      return waiting;
    }

    async function deadLetters(): Promise<string[]> {
      await using sql = new SQL({ url: deployment.env["DATABASE_URL"] ?? "", max: 1 });
      const ids = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
      for (const letter of ids)
        await sql`insert into dead_letter_queue (id, task_type, entity_id, user_id, last_error)
            values (${letter}, 'prompt-run', ${promptId}, 'ada', 'It failed.')`;
      return ids;
    }
  }, 120_000);
});

async function gone(read: () => Promise<unknown>): Promise<void> {
  const failure = await read().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ResponseError);
  expect((failure as ResponseError).response.status).toBe(404);
}
