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

  test(NAME, async () => {
    const model = startScriptedModel({ script });
    await using deployment = await createDeployment("postgres");
    const env = { CLAUDE_PATH: program, ANTHROPIC_API_KEY: "sk-ant-test", ANTHROPIC_BASE_URL: model.url };
    await using backend = await startBackend(deployment, { args: ["server"], env });
    const repository = await makeRepository();
    const machine = (name: string) =>
      startWorker(deployment, ["bg-tasks"], { ...env, DATA_DIR: join(deployment.folder, name) });
    const ask = async (sessionId: string, text: string) => {
      const { body } = await backend.request("POST", "/prompts", { session_id: sessionId, data: text });
      return ended(backend, body.id);
    };

    const one = await machine("one");
    const { sessionId, promptId } = await backend.submit(repository.path, "Remember word-zebra.");
    expect(await ended(backend, promptId)).toMatchObject({ status: "Completed", memory: "fresh" });
    one.kill("SIGKILL");
    await one.exit;

    const two = await machine("two");
    const second = await ask(sessionId, "Remember word-tulip.");
    expect(second).toMatchObject({ status: "Completed", memory: "resumed", memory_reason: null });
    expect(second.said).toContain("I know: word-zebra word-tulip.");
    two.kill("SIGKILL");
    await two.exit;

    const three = await machine("three");
    const third = await ask(sessionId, "Remember word-comet.");
    expect(third).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(third.said).toContain("I know: word-zebra word-tulip word-comet.");
    three.kill("SIGKILL");
    await three.exit;

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
    back.kill("SIGKILL");
    await back.exit;
    await repository.remove();
    await model.stop();
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
