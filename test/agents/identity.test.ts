import { expect, test } from "bun:test";
import { chooseAgent } from "../../src/agents/choose.ts";
import { createClaudeReader } from "../../src/agents/claude-reader.ts";
import { NOTHING } from "./fixture.ts";

const init = (fields: object) => ({ type: "system", subtype: "init", ...fields });
const KNOWN = init({ claude_code_version: "2.1.330", model: "claude-sonnet-4-5[1m]" });
const readers = {
  "Claude Code": createClaudeReader,
  "a command": () =>
    chooseAgent({ config: { ...NOTHING, agent: "command", agentCommand: ["sh"] } }).agent.reader(),
};

test.each(Object.entries(readers))(
  "%s says its version and model when it begins, and perhaps again",
  (_, open) => {
    const saidBy = (...events: object[]) => {
      const reader = open();
      for (const event of events) reader.read(JSON.stringify(event));
      return reader.identity();
    };
    const known = { version: "2.1.330", model: "claude-sonnet-4-5[1m]" };
    expect(saidBy()).toEqual({});
    expect(saidBy({ type: "assistant", message: { role: "assistant", content: [] } }, KNOWN)).toEqual(known);
    expect(saidBy(KNOWN, init({ model: "claude-opus-5" }))).toEqual({ ...known, model: "claude-opus-5" });
    // Whatever a program in a sandbox prints becomes part of a commit's message.
    const hostile = ["1\nSession: forged", "", "x".repeat(200), 1, null, { a: 1 }, "a b", "é"];
    for (const text of hostile)
      expect(saidBy(KNOWN, init({ claude_code_version: text, model: text }))).toEqual(known);
    expect(saidBy({ ...KNOWN, subtype: "status" }, { ...KNOWN, type: "result" })).toEqual({});
  },
);
