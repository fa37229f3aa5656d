import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SQL } from "bun";
import { png } from "../attachments/pictures.ts";
import { type Backend, createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import {
  type ModelScript,
  messagesText,
  type ScriptedBlock,
  type ScriptedRequest,
  startScriptedModel,
} from "../harness/scripted-model.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const WAIT_MS = 90_000;
const LIMIT_MS = 240_000;
setDefaultTimeout(LIMIT_MS);

const program = await claudeProgram();
const missing = typeof program === "string" ? undefined : program.missing;

const say = (text: string): ScriptedBlock[] => [{ type: "text", text }];
const bash = (command: string): ScriptedBlock[] => [
  { type: "tool_use", name: "Bash", input: { command, description: "a test" } },
];
const results = (request: ScriptedRequest) => messagesText(request).split('"type":"tool_result"').length - 1;
/** Runs these commands, one a turn, and says that it is done. */
const commands =
  (...all: string[]): ModelScript =>
  (request) => {
    const next = all[results(request)];
    return next === undefined ? say("done.") : bash(next);
  };

/** The settings of Claude Code with this model, which is asked for titles, too. */
function openModel(script: ModelScript) {
  const model = startScriptedModel({
    script: (request, call) => (request.body.tools?.length ? script(request, call) : say("A title")),
  });
  const env = {
    ...{ AGENT: "claude", CLAUDE_PATH: typeof program === "string" ? program : "" },
    ...{ ANTHROPIC_API_KEY: "sk-ant-test", ANTHROPIC_BASE_URL: model.url },
  };
  return {
    env,
    /** Of the agent, about this prompt. */
    requests: (text: string) =>
      model.requests.filter((one) => one.body.tools?.length && messagesText(one).includes(text)),
    [Symbol.asyncDispose]: () => model.stop(),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape.
type Row = any;

const questions = async (backend: Backend, sessionId: string): Promise<Row[]> =>
  (await backend.request("GET", `/sessions/${sessionId}/permissions`)).body.permissions;

/** Waits until the agent asks something that is open. */
const question = (backend: Backend, sessionId: string): Promise<Row> =>
  until(async () => (await questions(backend, sessionId)).find(({ status }) => status === "pending"), {
    what: "an open question",
    timeoutMs: WAIT_MS,
  });

async function answer(backend: Backend, id: string, decision: string, reason?: string): Promise<void> {
  const reply = await backend.request("POST", `/permissions/${id}/answer`, { decision, reason });
  expect(reply).toMatchObject({ status: 200 });
}

const promptsOf = async (backend: Backend, sessionId: string): Promise<Row[]> =>
  (await backend.request("GET", `/sessions/${sessionId}/prompts`)).body.prompts;

const finished = (backend: Backend, sessionId: string): Promise<Row> =>
  backend.waitForStatus(sessionId, ["NeedsReview", "NeedsReviewIpReturned"], WAIT_MS);

const subtypes = (messages: Row[], subtype: string): Row[] =>
  messages.map(({ data }) => data).filter((data) => data.subtype === subtype);

const steersIn = (messages: Row[]): string[] =>
  messages.flatMap(({ data }) => (data.steer_id ? [data.message.content[0].text] : []));

const fileOf = (repository: TestRepository, branch: string, name: string) =>
  repository.git("show", `${branch}:${name}`).catch(() => "");

/** It asked once, was answered once and had one attempt, and the events are without a gap. */
async function expectOnce(backend: Backend, promptId: string, sessionId: string): Promise<void> {
  const messages = await backend.messages(promptId);
  expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, index) => index + 1));
  expect(subtypes(messages, "permission_request")).toHaveLength(1);
  expect(subtypes(messages, "permission_answered")).toMatchObject([{ decision: "allow" }]);
  expect(messages.filter(({ data }) => data.type === "result")).toHaveLength(1);
  expect(await questions(backend, sessionId)).toMatchObject([{ status: "allowed" }]);
  expect(await promptsOf(backend, sessionId)).toMatchObject([{ status: "Completed", attempt: 1 }]);
}

if (missing !== undefined) unavailable({ name: "talking with the real Claude Code", reason: missing });
else {
  test("the real Claude Code asks, and is allowed, denied and allowed for the run", async () => {
    await using model = openModel(commands("echo a > a.txt", "echo b > b.txt", "echo c > c.txt"));
    await using deployment = await createDeployment("embedded");
    await using backend = await startBackend(deployment, { env: model.env });
    const repository = await makeRepository();
    const { sessionId, promptId } = await backend.submit(repository.path, "Ask me.", { mode: "ask" });

    const first = await question(backend, sessionId);
    expect(first).toMatchObject({ tool: "Bash", input: { command: "echo a > a.txt" }, title: "a test" });
    expect(await backend.session(sessionId)).toMatchObject({
      ...{ uiStatus: "InProgress", waitingFor: "permission" },
    });
    await answer(backend, first.id, "deny", "Not this one.");
    const second = await question(backend, sessionId);
    await answer(backend, second.id, "allow_run");
    const again = await backend.request("POST", `/permissions/${first.id}/answer`, { decision: "allow" });
    expect(again).toMatchObject({ status: 409 });

    const { branch } = await finished(backend, sessionId);
    expect(await backend.session(sessionId)).toMatchObject({ waitingFor: null });
    const files = await Promise.all(["a", "b", "c"].map((one) => fileOf(repository, branch, `${one}.txt`)));
    expect(files).toEqual(["", "b\n", "c\n"]);
    expect(model.requests("Not this one.").length).toBeGreaterThan(0);
    // The third command was not asked about.
    expect(await questions(backend, sessionId)).toMatchObject([
      { status: "denied", decision: "deny", reason: "Not this one." },
      { status: "allowed", decision: "allow_run" },
    ]);
    expect(subtypes(await backend.messages(promptId), "permission_request")).toHaveLength(2);
    await repository.remove();
  });

  test("what is said to the real Claude Code while it works, and too late, reaches it exactly once", async () => {
    const late = { now: async (): Promise<unknown> => undefined };
    await using model = openModel(async (request) => {
      const text = messagesText(request);
      if (text.includes("Take this.")) {
        // Its last answer is under way, and the message comes while the agent waits for it.
        if (!text.includes("Too late.")) await late.now();
        return say(text.includes("Too late.") ? "And that." : "Took it.");
      }
      return bash("sleep 0.3");
    });
    await using deployment = await createDeployment("embedded");
    await using backend = await startBackend(deployment, { env: model.env });
    const repository = await makeRepository();
    const { sessionId, promptId } = await backend.submit(repository.path, "Work.");
    const steer = (text: string) => backend.request("POST", `/prompts/${promptId}/steer`, { text });
    await until(
      async () => (await backend.messages(promptId)).some(({ data }) => data.type === "assistant"),
      {
        what: "the agent to work",
        timeoutMs: WAIT_MS,
      },
    );
    const lateReply = Promise.withResolvers<Row>();
    late.now = async () => lateReply.resolve((await steer("Too late.")).body);
    expect((await steer("Take this.")).body).toMatchObject({ delivered: "running", prompt_id: promptId });
    expect(await lateReply.promise).toMatchObject({ delivered: "running" });
    await until(async () => (await backend.session(sessionId)).inboxStatus === "Completed", {
      ...{ what: "the end", timeoutMs: WAIT_MS },
    });

    // After the end it is the next prompt.
    const after = (await steer("Afterwards.")).body;
    expect(after).toMatchObject({ delivered: "queued" });
    expect(after.prompt_id).not.toBe(promptId);
    const ended = await until(
      async () => {
        const prompts = await promptsOf(backend, sessionId);
        return prompts.every(({ status }) => status === "Completed") && prompts;
      },
      { what: "the follow-up", timeoutMs: WAIT_MS },
    );
    expect(ended.map(({ id }: Row) => id)).toContain(after.prompt_id);
    const told = await Promise.all(ended.map(({ id }: Row) => backend.messages(id)));
    const taken = told.flatMap(steersIn);
    const asPrompts = ended.map(({ data }: Row) => JSON.stringify(data));
    for (const text of ["Take this.", "Too late.", "Afterwards."]) {
      const times = taken.filter((one) => one === text).length;
      expect([text, times + asPrompts.filter((one: string) => one.includes(text)).length]).toEqual([text, 1]);
    }
    expect(taken).toContain("Take this.");
    // Each is a turn of its conversation, once.
    const conversation = JSON.stringify((await backend.session(sessionId)).messages ?? []);
    for (const text of ["Take this.", "Too late.", "Afterwards."])
      expect([text, conversation.split(text).length - 1]).toEqual([text, 1]);
    await repository.remove();
  });

  test("image, model, turn limit and the project's MCP servers reach the real Claude Code", async () => {
    await using model = openModel((request) => {
      const text = messagesText(request);
      if (text.includes("Go on for ever.")) return bash("true");
      if (text.includes("the-note") || results(request) > 0) return say("done.");
      return [{ type: "tool_use", name: "mcp__notes__read_note", input: {} }];
    });
    await using deployment = await createDeployment("embedded");
    await using backend = await startBackend(deployment, { env: model.env });
    const repository = await makeRepository();
    await writeFile(join(repository.path, "notes.sh"), NOTES_SERVER);
    await repository.git("add", "-A");
    await repository.git("commit", "-qm", "A server of notes");
    const project = await backend.request("POST", "/projects", {
      repo: repository.path,
      mcp_servers: { notes: { command: "bash", args: ["notes.sh"], env: { NOTE: "the-note" } } },
    });
    expect(project).toMatchObject({ status: 200 });
    const source = { type: "base64", media_type: "image/png", data: png().toString("base64") };
    const content = [
      { type: "text", text: "Look at this." },
      { type: "image", source },
    ];
    const { sessionId, promptId } = await backend.submit(repository.path, "", {
      messages: [{ content }],
      model: "claude-test-model",
    });
    await finished(backend, sessionId);
    const [asked] = model.requests("Look at this.");
    expect(asked?.body.model).toBe("claude-test-model");
    const blocks = asked?.body.messages.flatMap((one) => (Array.isArray(one.content) ? one.content : []));
    expect(blocks?.find(({ type }) => type === "image")).toMatchObject({ source });
    const told = (await backend.messages(promptId)).map(({ data }) => data);
    expect(told.find(({ subtype }) => subtype === "init")).toMatchObject({
      ...{ mcp_servers: [{ name: "notes", status: "connected" }] },
    });
    expect(model.requests("the-note").length).toBeGreaterThan(0);
    expect(await promptsOf(backend, sessionId)).toMatchObject([{ id: promptId, status: "Completed" }]);

    const limited = await backend.submit(repository.path, "Go on for ever.", { max_turns: 2 });
    await until(async () => (await promptsOf(backend, limited.sessionId))[0].status === "Failed", {
      ...{ what: "the limit of turns", timeoutMs: WAIT_MS },
    });
    expect(model.requests("Go on for ever.")).toHaveLength(2);
    await repository.remove();
  });

  test("embedded: kill -9 while the real Claude Code's question is open loses neither question nor answer", async () => {
    await using model = openModel(commands("echo allowed > allowed.txt"));
    await using deployment = await createDeployment("embedded");
    const repository = await makeRepository();
    let asked: Row;
    let ids: { sessionId: string; promptId: string };
    {
      await using doomed = await startBackend(deployment, { env: model.env });
      ids = await doomed.submit(repository.path, "Survive this.", { mode: "ask" });
      asked = await question(doomed, ids.sessionId);
      doomed.process.kill("SIGKILL");
      await doomed.process.exit;
    }
    let answered: Row;
    {
      await using backend = await startBackend(deployment, { env: model.env });
      expect(await questions(backend, ids.sessionId)).toMatchObject([{ id: asked.id, status: "pending" }]);
      await answer(backend, asked.id, "allow");
      answered = (await questions(backend, ids.sessionId))[0];
      // It may have reached the agent by now or not.
      backend.process.kill("SIGKILL");
      await backend.process.exit;
    }
    expect(answered).toMatchObject({ id: asked.id, status: "allowed" });
    await using backend = await startBackend(deployment, { env: model.env });
    const { branch } = await finished(backend, ids.sessionId);
    expect(await fileOf(repository, branch, "allowed.txt")).toBe("allowed\n");
    await expectOnce(backend, ids.promptId, ids.sessionId);
    await repository.remove();
  });

  describeWith("postgres", "the real Claude Code asks, with a server and a worker", () => {
    test(
      "both are killed, and the question is answered before there is a worker again",
      async () => {
        await using model = openModel(commands("echo allowed > allowed.txt"));
        await using deployment = await createDeployment("postgres");
        const repository = await makeRepository();
        let ids: { sessionId: string; promptId: string };
        let asked: Row;
        {
          await using server = await startBackend(deployment, { args: ["server"], env: model.env });
          await using worker = await startWorker(deployment, ["bg-tasks"], model.env);
          ids = await server.submit(repository.path, "Survive this.", { mode: "ask" });
          asked = await question(server, ids.sessionId);
          server.process.kill("SIGKILL");
          worker.kill("SIGKILL");
          await Promise.all([server.process.exit, worker.exit]);
        }
        await using server = await startBackend(deployment, { args: ["server"], env: model.env });
        expect(await questions(server, ids.sessionId)).toMatchObject([{ id: asked.id, status: "pending" }]);
        await answer(server, asked.id, "allow");
        await using _worker = await startWorker(deployment, ["bg-tasks"], model.env);
        const { branch } = await finished(server, ids.sessionId);
        expect(await fileOf(repository, branch, "allowed.txt")).toBe("allowed\n");
        await expectOnce(server, ids.promptId, ids.sessionId);
        await repository.remove();
      },
      LIMIT_MS,
    );

    test(
      "nobody answers in time: it is denied, says so, and goes on",
      async () => {
        await using model = openModel(commands("echo a > a.txt"));
        await using deployment = await createDeployment("postgres");
        await using backend = await startBackend(deployment, { env: model.env });
        const repository = await makeRepository();
        const { sessionId, promptId } = await backend.submit(repository.path, "Wait.", { mode: "ask" });
        const { id } = await question(backend, sessionId);
        await using sql = new SQL(deployment.env["DATABASE_URL"] ?? "");
        await sql`update permission_request set expires_at = now() where id = ${id}`;
        const { branch } = await finished(backend, sessionId);
        expect(await fileOf(repository, branch, "a.txt")).toBe("");
        expect(await questions(backend, sessionId)).toMatchObject([
          { status: "expired", decision: "deny", reason: expect.stringContaining("Nobody answered") },
        ]);
        expect(JSON.stringify(await backend.messages(promptId))).toContain(
          "Bash was denied. Nobody answered",
        );
        expect(model.requests("Nobody answered within").length).toBeGreaterThan(0);
        await repository.remove();
      },
      LIMIT_MS,
    );
  });
}

/** A server of the Model Context Protocol with one tool, whose result is $NOTE. */
const NOTES_SERVER = `while read -r line; do
  id=$(sed -nE 's/.*"id":("[^"]*"|[0-9]+).*/\\1/p' <<< "$line")
  case "$line" in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"notes","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"read_note","description":"Reads the note","inputSchema":{"type":"object","properties":{}}}]}' ;;
    *'"method":"tools/call"'*) result='{"content":[{"type":"text","text":"'"$NOTE"'"}]}' ;;
    *) result='{}' ;;
  esac
  [ -n "$id" ] && echo '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}'
done
`;
