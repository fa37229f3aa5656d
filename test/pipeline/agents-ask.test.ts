import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { SQL } from "bun";
import { makeRepository } from "../harness/repository.ts";
import type { TurnRequest } from "../harness/scripted-messages.ts";
import type { ModelTurn } from "../harness/scripted-turns.ts";
import { testServices, unavailable } from "../harness/services.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import {
  choiceOf,
  openRealAgents,
  promptEnd,
  type RealAgent,
  type RealAgents,
  RUN_MS,
  realPrograms,
} from "./real-agents.ts";

/** Ask mode of the real programs. What else is of Claude Code's questions is in claude-talk.test.ts. */
setDefaultTimeout(START_TIMEOUT_MS);

const ASK = "Ask before you touch anything.";
const REASON = "Write nothing today.";

/** Runs a command, and says what it has heard of it. */
function script({ tools, conversation }: TurnRequest): ModelTurn {
  const has = (text: string) => conversation.includes(text);
  if (has("asked-2")) return [{ text: "Allowed." }];
  // What its user says, or nobody, comes as a result of the tool or as a message.
  if (has(REASON) || has("Nobody answered")) return [{ text: "So I leave it." }];
  // Some agents tell the model of the denial, and its reason only later.
  if (has("ASKED.md")) return [{ text: "I wait." }];
  const cmd = 'echo "by the agent" > ASKED.md && printf "asked-%s" 2';
  // Codex asks when the model says that its sandbox is in the way.
  const escalated = { cmd, sandbox_permissions: "require_escalated", justification: "May I?" };
  const isCodex = tools.some(({ name }) => name === "exec_command");
  return [isCodex ? { tool: "exec_command", input: escalated } : { shell: cmd }];
}

const programs = await realPrograms("ask mode");
const isPostgres = testServices().databaseUrl !== undefined;
let real: RealAgents;

beforeAll(async () => {
  real = await openRealAgents({ programs, combination: isPostgres ? "postgres" : "embedded", script });
});
afterAll(() => real?.[Symbol.asyncDispose]());

for (const agent of programs.keys()) describe(`the real ${agent} in ask mode`, () => tests(agent));

function tests(agent: RealAgent) {
  /** Sends a prompt, waits for its question and for its end. @param act answers the question. */
  const asked = async (act: (questionId: string) => Promise<unknown>) => {
    const { backend } = real;
    const repository = await makeRepository();
    const before = real.requests(agent).length;
    const choice = { ...choiceOf(agent), mode: "ask" };
    const { sessionId, promptId } = await backend.submit(repository.path, ASK, choice);
    const questions = async () =>
      (await backend.request("GET", `/sessions/${sessionId}/permissions`)).body.permissions;
    await until(async () => (await questions()).length === 1, { what: "the question", timeoutMs: RUN_MS });
    const [question] = await questions();
    expect(question).toMatchObject({ status: "pending", tool: "Bash" });
    expect(JSON.stringify(question.input)).toContain("ASKED.md");
    await act(question.id);
    const prompt = await promptEnd(backend, promptId);
    const { branch } = await backend.session(sessionId);
    const written = await repository.git("show", `${branch}:ASKED.md`).catch(() => "");
    const said = JSON.stringify((await backend.messages(promptId)).map(({ data }) => data));
    const told = JSON.stringify(
      real
        .requests(agent)
        .slice(before)
        .map(({ body }) => body),
    );
    await repository.remove();
    return { prompt, written, said, told, questions: await questions() };
  };
  const answer = (body: object) => (id: string) =>
    real.backend.request("POST", `/permissions/${id}/answer`, body);

  test("is allowed, and does it", async () => {
    const { prompt, written, questions } = await asked(answer({ decision: "allow" }));
    expect(prompt, JSON.stringify(prompt)).toMatchObject({ status: "Completed", mode: "ask" });
    expect(written).toBe("by the agent\n");
    expect(questions).toMatchObject([{ status: "allowed" }]);
  });

  test("is denied with a reason, does not do it, and the model reads the reason", async () => {
    const { prompt, written, said, told, questions } = await asked(
      answer({ decision: "deny", reason: REASON }),
    );
    expect(prompt, JSON.stringify(prompt)).toMatchObject({ status: "Completed" });
    expect(written).toBe("");
    expect(questions).toMatchObject([{ status: "denied", reason: REASON }]);
    expect(told).toContain(REASON);
    expect(said).toContain("So I leave it.");
  });

  if (isPostgres)
    test("is denied when nobody answers in time, and goes on", async () => {
      const expire = async (id: string) => {
        await using sql = new SQL(real.deployment.env["DATABASE_URL"] ?? "");
        await sql`update permission_request set expires_at = now() where id = ${id}`;
      };
      const { prompt, written, said, told, questions } = await asked(expire);
      expect(prompt, JSON.stringify(prompt)).toMatchObject({ status: "Completed" });
      expect(written).toBe("");
      expect(questions).toMatchObject([{ status: "expired", decision: "deny" }]);
      expect(told).toContain("Nobody answered");
      expect(said).toContain("So I leave it.");
    });
  else unavailable({ name: "a question that expires", reason: "PostgreSQL is missing" });
}
