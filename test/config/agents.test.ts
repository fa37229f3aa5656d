import { describe, expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";

const read = (agents: unknown) =>
  readConfig(
    { AUTH: "none", AGENTS: typeof agents === "string" ? agents : JSON.stringify(agents) },
    { serves: false },
  ).declaredAgents;
const mine = { name: "mine", command: ["my-agent", "--acp"], protocol: "acp" };

describe("AGENTS", () => {
  test("declares agents; what is left out has defaults", () => {
    const full = {
      ...{
        name: "full",
        title: "Full",
        command: ["f"],
        protocol: "lines",
        models: ["a"],
        modes: ["auto", "ask"],
      },
      ...{
        steering: true,
        maxTurns: true,
        modelApi: "openai",
        baseUrlEnv: "OPENAI_BASE_URL",
        keyEnv: "OPENAI_API_KEY",
      },
    };
    expect(read([mine, full]) as unknown).toEqual([{ ...mine, title: "mine", models: [] }, full]);
  });

  test("all mistakes are reported together, by the name of the agent", () => {
    const wrong = [
      { ...mine, protocl: "acp", modelApi: "azure", modes: [] },
      { ...mine, command: [] },
      { ...mine, name: "Big", keyEnv: "not-a-name" },
      { name: "claude", protocol: "acp" },
      { ...mine, name: "lonely", baseUrlEnv: "MY_URL" },
      { ...mine, name: "talks", steering: true, maxTurns: false },
      5,
    ];
    let message = "";
    try {
      read(wrong);
    } catch (error) {
      message = String(error);
    }
    for (const mistake of [
      '"mine" has the unknown key "protocl"',
      '"mine" has a modelApi that is not one of anthropic, openai, google',
      '"mine" has a modes that is not a list of auto, ask',
      '"mine" has a command that is not a list of a program and its arguments',
      '"mine" is declared twice',
      '"Big" has a name that is not',
      '"Big" has a keyEnv that is not the name of a variable',
      '"claude" has no command',
      '"claude" has the name of a built-in agent',
      '"talks" has steering, which is only for the protocol lines',
      '"talks" has maxTurns, which is only for the protocol lines',
      '"lonely" has baseUrlEnv, but no modelApi',
      "entry 7 has no name",
      "config_invalid_agents",
    ])
      expect(message).toContain(mistake);
  });

  test.each(["{", '{"name":"mine"}', "5"])("%s is no list", (text) => {
    expect(() => read(text)).toThrow("AGENTS: must be a JSON array");
  });
});
