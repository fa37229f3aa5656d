import { describe, expect, test } from "bun:test";
import type { AgentEvent, AgentExit } from "../../src/agents/agent.ts";
import { createClaudeReader } from "../../src/agents/claude-reader.ts";
import { isRenderable } from "../../src/agents/events.ts";

const GOOD: AgentExit = { code: 0, signal: null, stderr: "" };
const RESULT = {
  type: "result",
  subtype: "success",
  is_error: false,
  terminal_reason: "completed",
  result: "Done.",
};
const assistant = (text: string, more: object = {}) => ({
  type: "assistant",
  message: { role: "assistant", content: [{ type: "text", text }], ...more },
});

/** Reads these lines (objects as JSON) with one reader. */
function reading(...lines: (object | string)[]) {
  const reader = createClaudeReader();
  const events = lines.map((one) => reader.read(typeof one === "string" ? one : JSON.stringify(one)));
  return { events, verdict: (exit: Partial<AgentExit> = {}) => reader.verdict({ ...GOOD, ...exit }) };
}

function one(line: object | string): AgentEvent {
  const [event] = reading(line).events;
  if (!event) throw new Error("dropped");
  return event;
}

describe("events", () => {
  test.each(["", "   ", "plain text", "[1]", "null", "{broken", '{"no":"type"}', '{"type":7}'])(
    "%j is not an event",
    (line) => expect(reading(line).events).toEqual([undefined]),
  );

  test.each([
    { type: "rate_limit_event", info: 1 },
    { type: "assistant" },
    { type: "assistant", message: { content: [] } },
    { type: "user", message: { role: "user", content: [null] } },
    { type: "stream_event", message: null },
  ])("%j is stored as an event that the web UI skips", (line) => {
    const event = one(line);
    expect(event).toMatchObject({ type: "system", subtype: line.type });
    expect(isRenderable(event)).toBe(true);
  });

  test("NUL and lone surrogates are removed from values and keys; complete pairs stay", () => {
    // Interpolated: Bun 1.4.5 turns an emoji in a raw template into its escape.
    const line = String.raw`{"type":"system","a\u0000b":"x\u0000y","l":["\ud83d","\ude00\u0000","${"😀"}"],"__proto__":{"z":"\udead"}}`;
    const text = JSON.stringify(one(line));
    expect(text).not.toContain("\\u0000");
    expect(text).not.toMatch(/\\ud[89a-f]/i);
    expect(one(line)).toMatchObject({ ab: "xy", l: ["\uFFFD", "\uFFFD", "😀"] });
    expect(Object.keys(one(line))).toContain("__proto__");
  });

  test("each event has a unique uuid", () => {
    const uuid = "11111111-1111-4111-8111-111111111111";
    const odd = [{ uuid }, { uuid }, { uuid }, {}, { uuid: "" }, { uuid: 7 }, { uuid: "x".repeat(5000) }];
    const { events } = reading(...odd.map((extra) => ({ ...assistant("a"), ...extra })));
    const uuids = events.map((event) => event?.uuid);
    expect(uuids[0]).toBe(uuid);
    expect(new Set(uuids).size).toBe(odd.length);
    for (const each of uuids) expect(each).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("tool_use_result is trimmed even on a short line", () => {
    const files = {
      filePath: "/a",
      originalFile: "o".repeat(20_000),
      structuredPatch: Array(2000).fill("patch"),
    };
    const message = {
      role: "user",
      content: [{ type: "tool_result", tool_use_id: "t", content: "c".repeat(20_000) }],
    };
    const event = one({ type: "user", message, tool_use_result: files });
    expect(JSON.stringify(event["tool_use_result"]).length).toBeLessThan(10_000);
    expect(event["message"]).toEqual(message);
  });

  test.each([
    [
      "one huge string",
      { content: [{ type: "tool_result", tool_use_id: "t", content: "x".repeat(10_000_000) }] },
    ],
    ["many strings", { content: [{ type: "text", text: "x", many: Array(3000).fill("y".repeat(3000)) }] }],
    ["many parts", { content: Array(20_000).fill({ type: "text", text: "x" }) }],
    [
      "depth",
      { content: [{ type: "text", text: "x", deep: JSON.parse("[".repeat(3000) + "]".repeat(3000)) }] },
    ],
  ])("%s: becomes a small event of the same type", (_name, message) => {
    const event = one({
      type: "user",
      uuid: "u",
      message: { role: "user", ...message },
      pad: "p".repeat(300_000),
    });
    expect(JSON.stringify(event).length).toBeLessThanOrEqual(256 * 1024);
    expect(event).toMatchObject({ type: "user", uuid: "u", message: { role: "user" } });
    expect(isRenderable(event)).toBe(true);
    expect(JSON.stringify(event)).toMatch(/left out|nested too deeply/);
  });
});

test("a deeply nested event is cut even if it is short", () => {
  const deep = `{"type":"system","deep":${"[".repeat(500)}${"]".repeat(500)}}`;
  expect(JSON.stringify(one(deep))).toMatch(/^[^[]*\[{1,70}"\[nested too deeply\]"/);
});

describe("the verdict", () => {
  test("success requires a result line without error and exit code 0", () => {
    const usage = { input_tokens: 5, cache_read_input_tokens: 7, output_tokens: 3 };
    const run = reading(assistant("Working."), { ...RESULT, num_turns: 2, total_cost_usd: 0.5, usage });
    const found = { turns: 2, input_tokens: 12, output_tokens: 3, cost_usd: 0.5 };
    expect(run.verdict()).toEqual({ ok: true, summary: "Done.", usage: found });
  });

  test.each<[string, object, RegExp]>([
    [
      "an API error",
      { is_error: true, terminal_reason: "api_error", api_error_status: 529, result: "busy" },
      /API.*529.*busy/,
    ],
    ["is_error alone", { is_error: true, result: "odd" }, /error.*odd/],
    ["no is_error at all", { is_error: undefined }, /error/],
    ["turns", { subtype: "error_max_turns", is_error: true, terminal_reason: "max_turns" }, /limit of turns/],
    [
      "turns, of an older version",
      { subtype: "error_max_turns", is_error: false, terminal_reason: undefined },
      /turns/,
    ],
    ["the budget", { is_error: true, terminal_reason: "budget_exhausted" }, /budget/],
    ["an interruption", { is_error: false, terminal_reason: "aborted_tools" }, /interrupted/],
    [
      "errors",
      {
        subtype: "error_during_execution",
        is_error: true,
        terminal_reason: undefined,
        errors: ["No conversation"],
      },
      /No conversation/,
    ],
  ])("%s is a failure, whatever else the result says", (_name, result, reason) => {
    const verdict = reading(assistant("Half way."), { ...RESULT, ...result }).verdict({ code: 0 });
    expect(verdict).toMatchObject({ ok: false, reason: expect.stringMatching(reason), summary: "Half way." });
  });

  test.each<[string, Partial<AgentExit>, RegExp]>([
    ["an exit code", { code: 3, stderr: "\u001b[31mboom\u0000\u001b[0m\n" }, /exit code 3.*boom\)/],
    ["SIGTERM", { code: null, signal: "SIGTERM" }, /SIGTERM/],
    ["SIGTERM, reported as a code", { code: 143 }, /SIGTERM/],
    ["SIGKILL", { code: null, signal: "SIGKILL" }, /killed.*memory/],
  ])("%s is a failure, even after a successful result", (_name, exit, reason) => {
    expect(reading(RESULT).verdict(exit)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(reason),
    });
  });

  test("no output is a failure, and the reason quotes the end of stderr", () => {
    const verdict = reading().verdict({ stderr: `${"x".repeat(5000)} the end` });
    expect(verdict).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/without a result.*the end\)\.$/),
    });
    expect(JSON.stringify(verdict).length).toBeLessThan(1300);
  });

  test("the last result decides", () => {
    expect(reading({ ...RESULT, is_error: true }, RESULT).verdict().ok).toBe(true);
    expect(reading(RESULT, { ...RESULT, is_error: true }).verdict().ok).toBe(false);
  });

  test("the summary has at most 64 KiB of whole characters, and excludes text of the CLI and of subagents", () => {
    const long = reading({ ...RESULT, result: "😀".repeat(40_000) }).verdict().summary;
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(64 * 1024);
    expect(long).not.toContain("\uFFFD");
    const sub = { ...assistant("sub"), parent_tool_use_id: "t" };
    const run = reading(assistant("mine"), sub, assistant("API Error", { model: "<synthetic>" }));
    expect(run.verdict({ code: 1 }).summary).toBe("mine");
  });
});

// Under load an agent of a borrowed sandbox did not reach it, had no tools, said something, and its prompt was Completed.
describe("an agent of a borrowed sandbox", () => {
  const init = (...states: string[]) =>
    JSON.stringify({
      ...{ type: "system", subtype: "init" },
      mcp_servers: states.map((status, index) => ({ name: `server-${index}`, status })),
    });
  const missing = (remote: boolean, line: string) => {
    const reader = createClaudeReader(remote);
    reader.read(line);
    return reader.toolsMissing?.();
  };

  test.each([["failed"], ["connected", "failed"], ["needs-auth"], []])(
    "lacks its tools with %p",
    (...states) => {
      expect(missing(true, init(...states))).toBe("The agent could not connect to the tools of its sandbox.");
      expect(missing(false, init(...states))).toBeUndefined();
    },
  );

  test.each([["connected"], ["pending"]])("has, or may still get them, with %p", (state) => {
    expect(missing(true, init(state))).toBeUndefined();
  });

  test("is not judged by the MCP servers of its project", () => {
    const own = (name: string, status: string) => ({ name, status });
    const line = (...mcp_servers: object[]) =>
      JSON.stringify({ type: "system", subtype: "init", mcp_servers });
    expect(missing(true, line(own("tools", "connected"), own("project-docs", "failed")))).toBeUndefined();
    expect(missing(true, line(own("project-docs", "connected")))).toBeString();
  });
});
