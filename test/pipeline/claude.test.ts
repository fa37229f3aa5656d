import { expect, test } from "bun:test";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { makeRepository } from "../harness/repository.ts";
import { messagesText, type ScriptedRequest, startScriptedModel } from "../harness/scripted-model.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";

const NAME = "the real Claude Code CLI edits a file, commits, resumes, and the branch is delivered";
const KEY = "sk-ant-the-real-key-0123456789";
const program = await claudeProgram();

/** An agent request: write a file, commit it, report. A title request (no tools): a title. */
function script(request: ScriptedRequest) {
  const text = (words: string) => [{ type: "text", text: words } as const];
  if (!request.body.tools?.length) return text("A better title");
  const last = JSON.stringify(request.body.messages.at(-1));
  const name = messagesText(request).includes("the second file") ? "TWO.md" : "ONE.md";
  if (last.includes("tool_result")) return last.includes("committed-it") ? text("All done.") : commit();
  const folder = /working directory:?\s*([^\s"\\]+)/i.exec(JSON.stringify(request.body))?.[1] ?? "/workspace";
  return [
    {
      type: "tool_use",
      name: "Write",
      input: { file_path: `${folder}/${name}`, content: "written by Claude\n" },
    } as const,
  ];
}

function commit() {
  const command =
    'git add -A && git commit -q -m "Claude was here" && echo "key=$ANTHROPIC_API_KEY" && echo committed-it';
  return [{ type: "tool_use", name: "Bash", input: { command, description: "Commit" } } as const];
}

if (typeof program !== "string") unavailable({ name: NAME, reason: program.missing });
else
  test(NAME, async () => {
    const keys = new Set<string | null>();
    const model = startScriptedModel({
      script: (request) => {
        // Claude Code's requests come through the proxy, title requests directly from the SDK.
        const { headers } = request;
        keys.add(headers.get("x-api-key") ?? headers.get("authorization")?.replace("Bearer ", "") ?? null);
        return script(request);
      },
    });
    await using deployment = await createDeployment("embedded");
    const env = { CLAUDE_PATH: program, ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: model.url };
    await using backend = await startBackend(deployment, { env });
    const repository = await makeRepository();

    const { sessionId, promptId } = await backend.submit(repository.path, "Write the first file, please.");
    const { branch } = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 60_000);
    const messages = await backend.messages(promptId);
    expect(messages.map(({ data }) => data.type)).toContain("result");
    expect(await repository.git("log", "--format=%s", `main..${branch}`)).toContain("Claude was here");
    expect(await repository.git("show", `${branch}:ONE.md`)).toBe("written by Claude\n");
    expect(JSON.stringify(messages)).not.toContain(KEY);
    expect(backend.process.lines.join("\n")).not.toContain(KEY);
    expect([...keys]).toEqual([KEY]);
    await until(async () => (await backend.session(sessionId)).title === "A better title", {
      what: "the generated title",
    });

    // The second prompt resumes the conversation, so the model sees the first one.
    await backend.request("POST", "/prompts", { session_id: sessionId, data: "Now write the second file." });
    await until(async () => (await backend.session(sessionId)).inboxStatus === "Completed", {
      what: "the follow-up",
      timeoutMs: 60_000,
    });
    expect(await repository.git("show", `${branch}:TWO.md`)).toBe("written by Claude\n");
    const second = model.requests.find(
      (request) => request.body.tools?.length && messagesText(request).includes("the second file"),
    );
    expect(messagesText(second as ScriptedRequest)).toContain("Write the first file");
    await repository.remove();
    await model.stop();
  }, 120_000);
