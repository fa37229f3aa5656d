import { expect, test } from "bun:test";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { makeRepository } from "../harness/repository.ts";
import { messagesText, type ScriptedRequest, startScriptedModel } from "../harness/scripted-model.ts";
import { unavailable } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS, START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";

const NAME =
  "comments become a follow-up of the real Claude Code CLI, whose fix moves one and outdates the other";
const program = await claudeProgram();

/** Writes a file and commits it; another one when it is asked to address comments. */
function script(request: ScriptedRequest) {
  if (!request.body.tools?.length) return [{ type: "text", text: "A title" } as const];
  if (JSON.stringify(request.body.messages.at(-1)).includes("tool_result"))
    return [{ type: "text", text: "Done." } as const];
  const isFix = messagesText(request).includes("review comments");
  const text = isFix ? "first\\nalpha\\nBETA\\ngamma\\n" : "alpha\\nbeta\\ngamma\\n";
  const command = `printf '${text}' > words.txt && git add words.txt && git commit -q -m Words`;
  return [{ type: "tool_use", name: "Bash", input: { command, description: "Write and commit" } } as const];
}

if (typeof program !== "string") unavailable({ name: NAME, reason: program.missing });
else
  test(
    NAME,
    async () => {
      const model = startScriptedModel({ script });
      await using deployment = await createDeployment("embedded");
      const env = {
        CLAUDE_PATH: program,
        ANTHROPIC_API_KEY: "sk-ant-the-real-key-0123456789",
        ANTHROPIC_BASE_URL: model.url,
      };
      await using backend = await startBackend(deployment, { env });
      const repository = await makeRepository();
      const { sessionId, promptId } = await backend.submit(repository.path, "Write words.txt, please.");
      await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", SLOW_TEST_TIMEOUT_MS);
      const { commit } = (await backend.request("GET", `/prompts/${promptId}`)).body.prompt;

      const path = `/sessions/${sessionId}/comments`;
      for (const [line, text] of [
        [2, "Write it in capitals."],
        [3, "This one is good."],
      ])
        expect(
          (await backend.request("POST", path, { path: "words.txt", commit, side: "new", line, text }))
            .status,
        ).toBe(200);
      expect((await backend.request("GET", path)).body.comments).toMatchObject([
        { code: "beta", status: "open", outdated: false, current: { path: "words.txt", line: 2 } },
        { code: "gamma", status: "open", outdated: false, current: { path: "words.txt", line: 3 } },
      ]);

      const { prompt_id } = (await backend.request("POST", `${path}/send`)).body;
      await until(
        async () =>
          (await backend.request("GET", `/prompts/${prompt_id}`)).body.prompt.status === "Completed",
        { what: "the fix", timeoutMs: SLOW_TEST_TIMEOUT_MS },
      );
      const asked = model.requests.map(messagesText).find((text) => text.includes("review comments")) ?? "";
      for (const quoted of [
        "words.txt, line 2",
        "beta",
        "Write it in capitals.",
        "words.txt, line 3",
        "gamma",
      ])
        expect(asked).toContain(quoted);
      expect((await backend.request("GET", path)).body.comments).toMatchObject([
        { line: 2, code: "beta", status: "sent", prompt_id, outdated: true, current: null },
        {
          line: 3,
          code: "gamma",
          status: "sent",
          prompt_id,
          outdated: false,
          current: { line: 4, end_line: 4 },
        },
      ]);
      await repository.remove();
      await model.stop();
    },
    START_TIMEOUT_MS + 2 * SLOW_TEST_TIMEOUT_MS,
  );
