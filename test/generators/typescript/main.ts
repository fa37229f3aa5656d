/** Creates, lists and reads with the client that typescript-fetch generated. Usage: main.ts URL */
import assert from "node:assert/strict";
import { Configuration, InboxStatus, PromptStatus, PromptsApi, SessionStatus, SessionsApi } from "./pb/index";

const configuration = new Configuration({ basePath: process.argv[2] ?? "" });
const sessionsApi = new SessionsApi(configuration);
const promptsApi = new PromptsApi(configuration);

const { sessionId, promptId } = await sessionsApi.handlersSessionsCreateWithPrompt({
  idempotencyKey: "typescript-fetch",
  createSessionWithPromptInput: {
    repo: "owner/name",
    targetBranch: "main",
    messages: [{ content: "One", type: "text" }],
  },
});
const followUp = await promptsApi.handlersPromptsCreate({ createPromptInput: { sessionId, data: "Two" } });

const { sessions } = await sessionsApi.handlersSessionsList({ status: ["Pending"] });
assert(sessions.some(({ id }) => id === sessionId));

const { session } = await sessionsApi.handlersSessionsRead({ id: sessionId });
assert.equal(session.inboxStatus, InboxStatus.Pending);
assert.equal(session.sessionStatus, SessionStatus.Active);
assert.deepEqual([session.cancellationStatus, session.parent], [null, null]);
assert.equal(session.messages?.[0]?.content, "One");

const { prompts } = await promptsApi.handlersPromptsList({ sessionId });
assert.deepEqual(
  prompts.map(({ id }) => id),
  [promptId, followUp.id],
);
assert.deepEqual(
  prompts.map(({ data }) => data),
  [[{ content: "One", type: "text" }], "Two"],
);
for (const { status, errorKind, memory, usage } of prompts)
  assert.deepEqual([status, errorKind, memory, usage], [PromptStatus.Queued, null, null, null]);
