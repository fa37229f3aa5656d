import { expect, test } from "bun:test";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { makeRepository } from "../harness/repository.ts";
import { type ScriptedRequest, startScriptedModel } from "../harness/scripted-model.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { startFakeAllocator } from "../sandboxes/allocator/fake-allocator.ts";

const NAME =
  "in a borrowed sandbox, the real Claude Code CLI has only the sandbox's tools, and the branch is delivered";
const KEY = "sk-ant-the-real-key-0123456789";
const program = await claudeProgram();

/** Uses the only tool offered, in the folder named in the prompt. */
function script(request: ScriptedRequest) {
  const text = (words: string) => [{ type: "text", text: words } as const];
  if (!request.body.tools?.length) return text("A title");
  if (JSON.stringify(request.body.messages.at(-1)).includes("tool_result")) return text("All done.");
  const checkout = /\/tmp\/prompt-backend-[0-9a-f-]{36}\/checkout/.exec(JSON.stringify(request.body))?.[0];
  const [tool] = request.body.tools.filter(({ name }) => name.startsWith("mcp__"));
  return [
    {
      type: "tool_use",
      name: tool?.name ?? "none",
      input: { command: `echo far > ${checkout}/FAR.md` },
    } as const,
  ];
}

if (typeof program !== "string") unavailable({ name: NAME, reason: program.missing });
else
  test(NAME, async () => {
    const allocator = startFakeAllocator({ sandboxes: 1 });
    const model = startScriptedModel({ script });
    await using deployment = await createDeployment("embedded");
    const env = {
      CLAUDE_PATH: program,
      ANTHROPIC_API_KEY: KEY,
      ANTHROPIC_BASE_URL: model.url,
      SANDBOX_PROVIDER: "allocator",
      IP_ALLOCATOR_URL: allocator.url,
    };
    await using backend = await startBackend(deployment, { env });
    const repository = await makeRepository();
    const { sessionId, promptId } = await backend.submit(repository.path, "Write something far away.");
    const { branch } = await backend.waitForStatus(sessionId, "NeedsReviewIpReturned", 150_000);
    const messages = await backend.messages(promptId);
    expect(await repository.git("show", `${branch}:FAR.md`)).toBe("far\n");
    const offered = model.requests.flatMap(({ body }) => (body.tools ?? []).map(({ name }) => name));
    // The CLI's built-in placeholder tool does nothing.
    const own = new Set(offered.filter((name) => name !== "DeferredToolPlaceholder"));
    expect(own).toEqual(new Set(["mcp__sandbox__shell"]));
    // On a busy machine Claude Code may not reach the sandbox's tools in time; then the prompt is tried again, in another one.
    expect(allocator.seen.borrows).toBeGreaterThan(0);
    expect(allocator.seen.returns).toBe(allocator.seen.borrows);
    expect(allocator.free).toHaveLength(1);
    const shown = JSON.stringify([messages, await backend.session(sessionId), backend.process.lines]);
    for (const secret of ["borrow-secret", "mcp-secret", KEY]) expect(shown).not.toContain(secret);
    await repository.remove();
    await model.stop();
    await allocator.stop();
  }, 180_000);

/** Cause: the demo changed an empty folder beside the borrowed checkout, and the prompt ended as if there was nothing to do. */
test("an agent that is for local sandboxes only is refused at once, and fails where it is the default", async () => {
  const allocator = startFakeAllocator({ sandboxes: 1 });
  await using deployment = await createDeployment("embedded");
  const env = { CLAUDE_PATH: "/no/claude", SANDBOX_PROVIDER: "allocator", IP_ALLOCATOR_URL: allocator.url };
  await using backend = await startBackend(deployment, { env });
  const repository = await makeRepository();
  const named = await backend.request("POST", "/sessions/with-prompt", {
    ...{ repo: repository.path, target_branch: "main", messages: "Work", agent: "demo" },
  });
  expect(named).toMatchObject({ status: 409, body: { code: "agent_unavailable" } });
  expect(named.body.msg).toContain("SANDBOX_PROVIDER=allocator");
  const { sessionId, promptId } = await backend.submit(repository.path, "Work");
  await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
  const { body } = await backend.request("GET", `/prompts/${promptId}`);
  expect(body.prompt).toMatchObject({
    status: "Failed",
    error: expect.stringContaining("not in borrowed ones"),
  });
  await repository.remove();
  await allocator.stop();
}, 120_000);

test("three sessions share one sandbox: the others wait with a reason, and all complete", async () => {
  const allocator = startFakeAllocator({ sandboxes: 1 });
  await using deployment = await createDeployment("embedded");
  const work =
    'cat > note.txt; curl -s -m 5 -o /dev/null localhost; sleep 0.5; echo "worked in $AGENT_REMOTE_CHECKOUT"';
  const env = {
    AGENT: "command",
    AGENT_COMMAND: JSON.stringify(["sh", "-c", work]),
    SANDBOX_PROVIDER: "allocator",
    IP_ALLOCATOR_URL: allocator.url,
  };
  await using backend = await startBackend(deployment, { env });
  const repository = await makeRepository();
  const sessions = await Promise.all([1, 2, 3].map((n) => backend.submit(repository.path, `Work ${n}`)));
  const errors = new Set<string>();
  await until(
    async () => {
      const rows = await Promise.all(
        sessions.map(
          async ({ sessionId }) =>
            (await backend.request("GET", `/sessions/${sessionId}/prompts`)).body.prompts[0],
        ),
      );
      for (const row of rows) if (row.status === "Queued" && row.error) errors.add(row.error);
      return rows.every((row) => row.status === "Completed");
    },
    { what: "all three sessions to complete", timeoutMs: 80_000, everyMs: 100 },
  );
  expect([...errors]).toEqual(["Waiting: no sandbox is available."]);
  await until(() => allocator.free.length === 1, { what: "the sandbox to be returned" });
  expect(allocator.seen.returns).toBe(3);
  await repository.remove();
  await allocator.stop();
}, 90_000);
