import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Agent, AgentUnavailable } from "../../src/agents/agent.ts";
import { createClaudeAgent } from "../../src/agents/claude.ts";
import type { DriverSpec } from "../../src/agents/driver-spec.ts";

const CONVERSATION = "3f0c7c1e-8a31-4b52-9a37-0d3a4f1f0a01";

describe("the command of Claude Code", () => {
  let agent: Agent;
  const paths = { checkout: "/w", home: "/h", tmp: "/t", state: "/s" };
  const request = { prompt: "p", conversationId: CONVERSATION, resume: false, paths };
  const model = { baseUrl: "http://127.0.0.1:1", token: "t" };
  beforeAll(() => {
    agent = createClaudeAgent({
      program: () => ({ path: "/c", readable: ["/c"] }),
      missing: "m",
      model: "opus",
    });
  });
  afterAll(() => expect(agent.modelApi).toBe("anthropic"));

  test("cuts instructions that are too long for an argument, at a whole character", () => {
    const { stdin } = agent.command({ ...request, model, instructions: `\0${"é€😀".repeat(40_000)}` });
    const { argv } = JSON.parse(stdin) as DriverSpec;
    const argument = argv.find((one) => one.startsWith("--append-system-prompt=")) ?? "";
    expect(Buffer.byteLength(argument)).toBeLessThan(128 * 1024);
    expect(argument).not.toContain("\uFFFD");
    expect(argument).not.toContain("\0");
    expect(argument).toContain("left out");
  });

  test("has the project's MCP servers in a file of its own, beside those of a borrowed sandbox", () => {
    const mcpServers = { docs: { command: "docs", env: { TOKEN: "s3cr3t-value" } } };
    const remote = { mcpConfig: "/h/mcp.json", checkout: "/w", servers: [] };
    const { stdin, env, files } = agent.command({ ...request, model, mcpServers, remote });
    const { argv } = JSON.parse(stdin) as DriverSpec;
    expect(files).toHaveLength(1);
    expect(JSON.parse(files?.[0]?.text ?? "")).toEqual({ mcpServers: { "project-docs": mcpServers.docs } });
    const alone = agent.command({ ...request, model, mcpServers });
    expect(JSON.parse(alone.files?.[0]?.text ?? "")).toEqual({ mcpServers });
    const at = argv.indexOf("--mcp-config");
    expect(argv.slice(at + 1, at + 3)).toEqual(["/h/mcp.json", `/s/${files?.[0]?.name}`]);
    // The option takes all arguments up to the next option.
    expect(argv[at + 3]).toStartWith("--");
    expect(argv).toContain("--strict-mcp-config");
    expect(JSON.stringify([stdin, env])).not.toContain("s3cr3t-value");
    expect(agent.command({ ...request, model }).stdin).not.toContain("--mcp-config");
  });

  test("asks only in ask mode, and skips permissions only in auto mode", () => {
    const argvIn = (mode: "auto" | "ask" | undefined) =>
      (
        JSON.parse(
          agent.command({ ...request, model, mode, maxTurns: 7, modelName: "haiku" }).stdin,
        ) as DriverSpec
      ).argv;
    for (const argv of [argvIn("auto"), argvIn(undefined)]) {
      expect(argv).toContain("--dangerously-skip-permissions");
      expect(argv).not.toContain("--permission-prompt-tool");
    }
    expect(argvIn("ask")).toContain("--permission-prompt-tool");
    expect(argvIn("ask")).not.toContain("--dangerously-skip-permissions");
    expect(argvIn("ask").join(" ")).toContain("--model haiku --max-turns 7");
  });

  test("is refused with a reason if the program or the model is missing", () => {
    const none = createClaudeAgent({ program: () => undefined, missing: "Claude Code is not installed." });
    expect(() => none.command({ ...request, model })).toThrow(
      new AgentUnavailable("Claude Code is not installed."),
    );
    expect(() => agent.command(request)).toThrow(AgentUnavailable);
  });
});
