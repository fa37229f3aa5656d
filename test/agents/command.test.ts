import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type AgentExit, AgentUnavailable } from "../../src/agents/agent.ts";
import { chooseAgent } from "../../src/agents/choose.ts";
import { isRenderable } from "../../src/agents/events.ts";
import { Secret } from "../../src/shared/secret.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { NOTHING, openAgentFixture } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const GOOD: AgentExit = { code: 0, signal: null, stderr: "" };

function chooseCommand(...agentCommand: [string, ...string[]]) {
  return chooseAgent({ config: { ...NOTHING, agent: "command", agentCommand } });
}

describe("any program", () => {
  test("gets the prompt from stdin, works in the checkout, and its output is stored", async () => {
    await using fixture = await openAgentFixture();
    const { agent } = chooseCommand("sh", "-c", "cat > prompt.txt; pwd; echo; echo done; cat prompt.txt");
    const request = { prompt: "-n /x", conversationId: "c", resume: false, paths: fixture.paths };
    const { verdict, events } = await fixture.run(agent, agent.command(request));
    expect(verdict).toMatchObject({ ok: true, summary: `${fixture.paths.checkout}\ndone\n-n /x` });
    expect(events).toHaveLength(3);
    for (const event of events) expect(isRenderable(event)).toBe(true);
  });

  test("reaches the model with the token of its run, if there is a model", () => {
    const config = { ...NOTHING, agent: "command" as const, agentCommand: ["sh"] as const };
    expect(chooseAgent({ config }).agent.modelApi).toBeUndefined();
    const { agent } = chooseAgent({ config: { ...config, anthropicApiKey: new Secret("sk-real") } });
    expect(agent.modelApi).toBe("anthropic");
    const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
    const model = { baseUrl: "http://127.0.0.1:1", token: "run-1" };
    const { env } = agent.command({ prompt: "p", conversationId: "c", resume: false, paths, model });
    expect(env).toEqual({
      ANTHROPIC_BASE_URL: "http://127.0.0.1:1",
      ANTHROPIC_API_KEY: "run-1",
      AGENT_CONVERSATION_ID: "c",
      AGENT_STATE_DIR: "/s",
    });
  });

  test.each([
    ["openai", "openaiApiKey", { OPENAI_BASE_URL: "http://127.0.0.1:1", OPENAI_API_KEY: "run-1" }],
    [
      "google",
      "geminiApiKey",
      {
        GEMINI_BASE_URL: "http://127.0.0.1:1",
        GOOGLE_GEMINI_BASE_URL: "http://127.0.0.1:1",
        GEMINI_API_KEY: "run-1",
      },
    ],
  ] as const)("reaches the model by the API of %s, if that key alone is set", (api, key, env) => {
    const config = {
      ...NOTHING,
      agent: "command" as const,
      agentCommand: ["sh"] as const,
      [key]: new Secret("real"),
    };
    const { agent } = chooseAgent({ config });
    expect(agent.modelApi).toBe(api);
    const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
    const model = { baseUrl: "http://127.0.0.1:1", token: "run-1" };
    const command = agent.command({ prompt: "p", conversationId: "c", resume: false, paths, model });
    expect(command.env).toEqual({ ...env, AGENT_CONVERSATION_ID: "c", AGENT_STATE_DIR: "/s" });
  });

  test("that is missing fails the run with a reason", () => {
    const { agent, missing } = chooseCommand("no-such-agent");
    expect(missing).toBe('The program "no-such-agent" of AGENT_COMMAND is not installed or not executable.');
    const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
    const request = { prompt: "p", conversationId: "c", resume: false, paths };
    expect(() => agent.command(request)).toThrow(new AgentUnavailable(missing ?? ""));
  });
});

describe("its output", () => {
  const read = (line: string) => chooseCommand("sh").agent.reader().read(line);

  test.each([
    ['{"type":"assistant"}'],
    ['{"type":"assistant","message":{"content":[]}}'],
    ['{"type":"user","message":{"role":"user","content":[{"no":"type"}]}}'],
    ['{"type":"token_count","message":{"role":"x"}}'],
    ['{"level":"info"}'],
    ["[1,2]"],
    ["plain"],
  ])("%s is text", (line) => expect(read(line)).toBe(line));

  test("colours and NUL are removed; long lines are cut, and the note counts what the journal has cut before", () => {
    expect(read("\u001b[1;31mred\u001b[0m\0 \ud83d")).toBe("red \uFFFD");
    expect(read(" \t\u001b[0m")).toBe("");
    expect(read("x".repeat(1_000_000))).toBe(`${"x".repeat(65_536)}… [934464 more characters left out]`);
    expect(read(`${"x".repeat(65_540)}… [10 more characters left out]`)).toBe(
      `${"x".repeat(65_536)}… [14 more characters left out]`,
    );
  });

  test("events that the web UI knows are stored as they are, duplicates with a new uuid", () => {
    const reader = chooseCommand("sh").agent.reader();
    const line = JSON.stringify({ type: "user", uuid: "u", message: { role: "user", content: "hi" } });
    expect(reader.read(line)).toEqual(JSON.parse(line));
    expect(reader.read(line)).toMatchObject({ type: "user", uuid: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  });

  test("is judged by exit code, and by a result line if there is one", () => {
    const verdict = (exit: Partial<AgentExit>, ...lines: string[]) => {
      const reader = chooseCommand("sh").agent.reader();
      for (const line of lines) reader.read(line);
      return reader.verdict({ ...GOOD, ...exit });
    };
    expect(verdict({})).toEqual({ ok: true, summary: "", usage: {} });
    expect(verdict({}, "a", "b")).toMatchObject({ ok: true, summary: "a\nb" });
    expect(verdict({}, '{"type":"result","result":"r"}')).toMatchObject({ ok: true, summary: "r" });
    const error = '{"type":"result","is_error":true,"result":"no quota"}';
    expect(verdict({}, error)).toMatchObject({ ok: false, reason: expect.stringContaining("no quota") });
    expect(verdict({ code: 2, stderr: "usage: x" }, "a")).toMatchObject({ ok: false, summary: "a" });
    expect(verdict({ code: null, signal: "SIGSEGV" })).toMatchObject({ ok: false });
    const chatty = verdict({}, ...Array.from({ length: 50_000 }, (_, at) => `line ${at}`)).summary;
    expect(chatty.slice(-10)).toBe("line 49999");
    expect(Buffer.byteLength(chatty)).toBeLessThanOrEqual(64 * 1024);
    const wide = verdict({}, "x", ...Array.from({ length: 2000 }, () => "😀".repeat(100))).summary;
    expect(Buffer.byteLength(wide)).toBeLessThanOrEqual(64 * 1024);
    expect(wide).not.toContain("\uFFFD");
  });
});
