import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Backend, createDeployment, startBackend, startWorker } from "../harness/backend.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { makeRepository } from "../harness/repository.ts";
import { messagesText, type ScriptedRequest, startScriptedModel } from "../harness/scripted-model.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const NAME = "the real Claude Code remembers on any of three machines";
const program = await claudeProgram();

/** Writes the last prompt's number to a file and commits it; a prompt that says "spoil" makes its own transcript unreadable. */
function script(request: ScriptedRequest) {
  const text = (words: string) => [{ type: "text", text: words } as const];
  if (!request.body.tools?.length) return text("A title");
  const last = JSON.stringify(request.body.messages.at(-1));
  if (last.includes("tool_result")) return text(`I know: ${wordsIn(messagesText(request)).join(" ")}.`);
  const spoil =
    'for f in "$CLAUDE_CONFIG_DIR"/projects/*/*.jsonl; do printf garbage > "$f.new"; mv "$f.new" "$f"; chmod 400 "$f"; done';
  const command = `date +%N >> turns.txt && git add -A && git commit -q -m Turn${last.includes("spoil") ? `; ${spoil}` : ""}`;
  return [{ type: "tool_use", name: "Bash", input: { command, description: "Work" } } as const];
}
const wordsIn = (text: string) => [...new Set(text.match(/word-\w+/g) ?? [])];

describeWith("postgres", "memory on several machines", () => {
  if (typeof program !== "string") return unavailable({ name: NAME, reason: program.missing });

  const open = async () => {
    const model = startScriptedModel({ script });
    const deployment = await createDeployment("postgres");
    const env = { CLAUDE_PATH: program, ANTHROPIC_API_KEY: "sk-ant-test", ANTHROPIC_BASE_URL: model.url };
    const backend = await startBackend(deployment, { args: ["server"], env });
    const repository = await makeRepository();
    return {
      ...{ backend, repository },
      machine: (name: string) =>
        startWorker(deployment, ["bg-tasks"], { ...env, DATA_DIR: join(deployment.folder, name) }),
      ask: async (sessionId: string, text: string) => {
        const { body } = await backend.request("POST", "/prompts", { session_id: sessionId, data: text });
        return ended(backend, body.id);
      },
      async [Symbol.asyncDispose]() {
        await backend[Symbol.asyncDispose]();
        await deployment[Symbol.asyncDispose]();
        await repository.remove();
        await model.stop();
      },
    };
  };
  const kill = async (worker: Awaited<ReturnType<typeof startWorker>>) => {
    worker.kill("SIGKILL");
    await worker.exit;
  };

  test(NAME, async () => {
    await using service = await open();
    const { backend, repository, machine, ask } = service;
    const one = await machine("one");
    const { sessionId, promptId } = await backend.submit(repository.path, "Remember word-zebra.");
    expect(await ended(backend, promptId)).toMatchObject({ status: "Completed", memory: "fresh" });
    await kill(one);

    const two = await machine("two");
    const second = await ask(sessionId, "Remember word-tulip.");
    expect(second).toMatchObject({ status: "Completed", memory: "resumed", memory_reason: null });
    expect(second.said).toContain("I know: word-zebra word-tulip.");
    await kill(two);

    const three = await machine("three");
    const third = await ask(sessionId, "Remember word-comet.");
    expect(third).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(third.said).toContain("I know: word-zebra word-tulip word-comet.");
    await kill(three);

    // Its own memory ends with the first turn.
    const back = await machine("one");
    const fourth = await ask(sessionId, "Remember word-raven.");
    expect(fourth).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(fourth.said).toContain("I know: word-zebra word-tulip word-comet word-raven.");
    const { branch } = await backend.session(sessionId);
    expect((await repository.git("show", `${branch}:turns.txt`)).trim().split("\n").length).toBe(4);

    // It was stored as it is, and Claude Code refuses it: the conversation goes in as text.
    expect(await ask(sessionId, "Remember word-spoil.")).toMatchObject({ status: "Completed" });
    const sixth = await ask(sessionId, "Remember word-delta.");
    expect(sixth).toMatchObject({ status: "Completed", memory: "replayed" });
    expect(sixth.said).toContain("The agent has lost its memory");
    expect(sixth.said).toContain("word-zebra");
    expect(await ask(sessionId, "Remember word-omega.")).toMatchObject({ memory: "resumed" });
    await kill(back);
  }, 180_000);

  test("the same where nothing may be pushed, in both directions; any machine delivers it, and goes on from a fork", async () => {
    await using service = await open();
    const { backend, repository, machine, ask } = service;
    // Before any machine runs it, somebody else makes a branch of that name.
    const { sessionId, promptId } = await backend.submit(repository.path, "Remember word-zebra.");
    const { branch } = await backend.session(sessionId);
    await repository.git("branch", branch, "main");
    const one = await machine("one");
    const first = await ended(backend, promptId);
    expect(first.said).toContain("The work is kept, and the next prompt continues from it.");
    await kill(one);

    const two = await machine("two");
    const second = await ask(sessionId, "Remember word-tulip.");
    expect(second).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(second.said).toContain("I know: word-zebra word-tulip.");
    expect(second.said).toContain("(2 commits");
    await kill(two);

    const back = await machine("one");
    const third = await ask(sessionId, "Remember word-comet.");
    expect(third).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(third.said).toContain("I know: word-zebra word-tulip word-comet.");
    expect(third.said).toContain("(3 commits");
    await kill(back);

    // A fresh machine has nothing of it.
    const three = await machine("three");
    await repository.git("branch", "-D", branch);
    const pushed = await backend.request("POST", `/sessions/${sessionId}/push`);
    expect(await ended(backend, pushed.body.prompt_id)).toMatchObject({
      status: "Completed",
      kind: "push",
      memory: null,
    });
    expect((await repository.git("rev-parse", branch)).trim()).toBe(third.commit);
    await kill(three);

    const four = await machine("four");
    const fork = await backend.request("POST", `/sessions/${sessionId}/fork`, { prompt_id: second.id });
    const forked = await ask(fork.body.id, "Remember word-raven.");
    expect(forked).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(forked.said).toContain("I know: word-zebra word-tulip word-raven.");
    const work = await repository.git("show", `${(await backend.session(fork.body.id)).branch}:turns.txt`);
    expect(work.trim().split("\n").length).toBe(3);
    expect(forked.usage.cost_usd).toBeCloseTo(third.usage.cost_usd, 3);
    // The original does not know of it.
    expect((await ask(sessionId, "Remember word-delta.")).said).toContain(
      "I know: word-zebra word-tulip word-comet word-delta.",
    );
    await kill(four);
  }, 180_000);
});

async function ended(backend: Backend, promptId: string) {
  const prompt = await until(
    async () => {
      const { prompt } = (await backend.request("GET", `/prompts/${promptId}`)).body;
      return prompt.finished_at && prompt;
    },
    { what: `prompt ${promptId} to end`, timeoutMs: 60_000 },
  );
  const said = JSON.stringify(await backend.messages(promptId));
  return { ...prompt, said };
}
