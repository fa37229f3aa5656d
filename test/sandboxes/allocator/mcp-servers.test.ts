import { expect, test } from "bun:test";
import { neededRule } from "../../../src/egress/policy.ts";
import { mcpServers } from "../../../src/sandboxes/allocator/mcp-servers.ts";

test("the servers of an MCP configuration, each once, are what an agent may reach", () => {
  const config = {
    mcpServers: {
      one: { type: "http", url: "https://Sandbox.example/mcp?key=secret" },
      again: { type: "sse", url: "https://sandbox.example:443/sse" },
      plain: { url: "http://10.0.0.5:8080/mcp" },
      six: { url: "http://[fd00::5]/mcp" },
      program: { command: "npx", args: ["something"] },
      wrong: { url: "nonsense" },
    },
  };
  const servers = mcpServers(JSON.stringify(config));
  expect(servers).toEqual(["sandbox.example:443", "10.0.0.5:8080", "[fd00::5]:80"]);
  expect(servers.map(neededRule)).toMatchObject([
    { host: "sandbox.example", port: 443 },
    { host: "10.0.0.5", port: 8_080 },
    { host: "fd00::5", port: 80 },
  ]);
});

test.each(["", "nonsense", "null", "[]", '{"mcpServers":null}'])("%j names no server", (config) => {
  expect(mcpServers(config)).toEqual([]);
});
