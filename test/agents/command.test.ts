import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdir, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { type AgentExit, AgentUnavailable } from "../../src/agents/agent.ts";
import { chooseAgent, findProgram } from "../../src/agents/choose.ts";
import { createCommandReader } from "../../src/agents/command.ts";
import { isRenderable } from "../../src/agents/events.ts";
import { Secret } from "../../src/shared/secret.ts";
import { PATIENCE_MS } from "../harness/patience.ts";
import { openAgentFixture } from "./fixture.ts";

setDefaultTimeout(PATIENCE_MS);

const GOOD: AgentExit = { code: 0, signal: null, stderr: "" };
const PATH = process.env["PATH"] ?? "";
const NOTHING = {
  agent: undefined,
  agentCommand: undefined,
  anthropicApiKey: undefined,
  claudePath: undefined,
  claudeModel: undefined,
  path: PATH,
};

function chooseCommand(...agentCommand: [string, ...string[]]) {
  return chooseAgent({ config: { ...NOTHING, agent: "command", agentCommand } });
}

describe("any program", () => {
  test("gets the prompt on stdin, works in the checkout, and its text is kept", async () => {
    await using fixture = await openAgentFixture();
    const { agent } = chooseCommand("sh", "-c", "cat > prompt.txt; pwd; echo; echo done; cat prompt.txt");
    const request = { prompt: "-n /x", conversationId: "c", resume: false, paths: fixture.paths };
    const { verdict, events } = await fixture.run(agent, agent.command(request));
    expect(verdict).toMatchObject({ ok: true, summary: `${fixture.paths.checkout}\ndone\n-n /x` });
    expect(events).toHaveLength(3);
    for (const event of events) expect(isRenderable(event)).toBe(true);
  });

  test("reaches the model with the token of its run, where there is one", () => {
    const config = { ...NOTHING, agent: "command" as const, agentCommand: ["sh"] as const };
    expect(chooseAgent({ config }).agent.needsModel).toBe(false);
    const { agent } = chooseAgent({ config: { ...config, anthropicApiKey: new Secret("sk-real") } });
    expect(agent.needsModel).toBe(true);
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

  test("that is missing fails the run with a sentence", () => {
    const { agent, missing } = chooseCommand("no-such-agent");
    expect(missing).toMatch(/"no-such-agent" is not installed.*AGENT_COMMAND/);
    const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
    const request = { prompt: "p", conversationId: "c", resume: false, paths };
    expect(() => agent.command(request)).toThrow(new AgentUnavailable(missing ?? ""));
  });
});

describe("its output", () => {
  const textIn = (line: string) => {
    const event = createCommandReader().read(line);
    const message = event?.["message"] as { content: { text: string }[] } | undefined;
    return event && { type: event.type, uuid: event.uuid, text: message?.content[0]?.text };
  };

  test.each([
    ['{"type":"assistant"}'],
    ['{"type":"assistant","message":{"content":[]}}'],
    ['{"type":"user","message":{"role":"user","content":[{"no":"type"}]}}'],
    ['{"type":"token_count","message":{"role":"x"}}'],
    ['{"level":"info"}'],
    ["[1,2]"],
    ["plain"],
  ])("%s is text", (line) => {
    expect(textIn(line)).toEqual({
      type: "assistant",
      uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      text: line,
    });
  });

  test("colours and NUL go; empty lines are nothing; long lines are cut", () => {
    expect(textIn("\u001b[1;31mred\u001b[0m\0 \ud83d")?.text).toBe("red \uFFFD");
    expect(textIn(" \t\u001b[0m")).toBeUndefined();
    expect(textIn("x".repeat(1_000_000))?.text?.length).toBeLessThan(66_000);
  });

  test("the web UI's events pass through, duplicates with a new uuid", () => {
    const reader = createCommandReader();
    const line = JSON.stringify({ type: "user", uuid: "u", message: { role: "user", content: "hi" } });
    expect(reader.read(line)).toEqual(JSON.parse(line));
    expect(reader.read(line)?.uuid).not.toBe("u");
  });

  test("is judged by exit code, and by a result line where there is one", () => {
    const conclude = (exit: Partial<AgentExit>, ...lines: string[]) => {
      const reader = createCommandReader();
      for (const line of lines) reader.read(line);
      return reader.conclude({ ...GOOD, ...exit });
    };
    expect(conclude({})).toEqual({ ok: true, summary: "", usage: {} });
    expect(conclude({}, "a", "b")).toMatchObject({ ok: true, summary: "a\nb" });
    expect(conclude({}, '{"type":"result","result":"r"}')).toMatchObject({ ok: true, summary: "r" });
    const error = '{"type":"result","is_error":true,"result":"no quota"}';
    expect(conclude({}, error)).toMatchObject({ ok: false, reason: expect.stringContaining("no quota") });
    expect(conclude({ code: 2, stderr: "usage: x" }, "a")).toMatchObject({ ok: false, summary: "a" });
    expect(conclude({ code: null, signal: "SIGSEGV" })).toMatchObject({ ok: false });
    const chatty = conclude({}, ...Array.from({ length: 50_000 }, (_, at) => `line ${at}`)).summary;
    expect(chatty.slice(-10)).toBe("line 49999");
    expect(Buffer.byteLength(chatty)).toBeLessThanOrEqual(64 * 1024);
    const wide = conclude({}, "x", ...Array.from({ length: 2000 }, () => "😀".repeat(100))).summary;
    expect(Buffer.byteLength(wide)).toBeLessThanOrEqual(64 * 1024);
    expect(wide).not.toContain("\uFFFD");
  });
});

describe("the choice", () => {
  test("without AGENT: Claude where its program and a key are there, else the demo, which says why", async () => {
    await using fixture = await openAgentFixture();
    const claude = join(fixture.paths.home, "claude");
    await Bun.write(claude, "#!/bin/sh\n");
    const here = { ...NOTHING, path: `${fixture.paths.home}:/nowhere` };
    expect(chooseAgent({ config: here }).why).toMatch(
      /demo.*ANTHROPIC_API_KEY is not set and Claude Code was not/,
    );
    expect(chooseAgent({ config: { ...here, anthropicApiKey: new Secret("k") } }).why).toMatch(
      /demo.*\(Claude Code was not/,
    );
    await chmod(claude, 0o755);
    expect(chooseAgent({ config: here }).why).toMatch(/demo.*\(ANTHROPIC_API_KEY is not set\)/);
    const chosen = chooseAgent({ config: { ...here, anthropicApiKey: new Secret("k") } });
    expect([chosen.agent.name, chosen.missing]).toEqual(["claude", undefined]);
    expect(chosen.why).toContain(claude);
    expect(
      chooseAgent({ config: { ...here, anthropicApiKey: new Secret("k"), agent: "demo" } }).agent.name,
    ).toBe("demo");
  });

  test("AGENT=claude stands without its program, and says what is missing and where", () => {
    const config = {
      ...NOTHING,
      agent: "claude" as const,
      anthropicApiKey: new Secret("k"),
      claudePath: "/opt/none/claude",
    };
    const { agent, missing } = chooseAgent({ config });
    expect(agent.name).toBe("claude");
    expect(missing).toMatch(/not installed at \/opt\/none\/claude.*CLAUDE_PATH/);
  });

  test("a program is found as a shell finds it, with every link and the real file's folder", async () => {
    await using fixture = await openAgentFixture();
    const { home, tmp } = fixture.paths;
    await mkdir(join(home, "real"));
    await Bun.write(join(home, "real/tool"), "#!/bin/sh\n");
    await symlink("../home/real/tool", join(tmp, "middle"));
    await symlink(join(tmp, "middle"), join(tmp, "link"));
    expect(findProgram("link", tmp)).toBeUndefined();
    await chmod(join(home, "real/tool"), 0o755);
    expect(findProgram("link", `:/nowhere:${tmp}`)).toEqual({
      path: join(tmp, "link"),
      readable: [join(tmp, "link"), join(tmp, "middle"), join(home, "real/tool"), join(home, "real")],
    });
    expect(findProgram(join(tmp, "link"), "")?.path).toBe(join(tmp, "link"));
    for (const name of ["", "home", "/", home]) expect(findProgram(name, tmp)).toBeUndefined();
  });

  test("a package's program comes with its node_modules, a program at home without its home", async () => {
    await using fixture = await openAgentFixture();
    const file = join(fixture.paths.home, "lib/node_modules/@a/b/cli.js");
    await Bun.write(file, "#!/usr/bin/env node\n");
    await chmod(file, 0o755);
    const readable = findProgram(file, "")?.readable;
    expect(readable).toEqual([file, join(fixture.paths.home, "lib/node_modules")]);
    const own = join(homedir(), `agent-${crypto.randomUUID()}`);
    await Bun.write(own, "#!/bin/sh\n");
    try {
      await chmod(own, 0o755);
      expect(findProgram(own, "")?.readable).toEqual([own]);
    } finally {
      await Bun.file(own).delete();
    }
  });
});
