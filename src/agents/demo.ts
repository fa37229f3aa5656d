import type { Agent } from "./agent.ts";
import { createClaudeReader } from "./claude-reader.ts";
import { ownExecutable } from "./own-executable.ts";

/** The built-in demo: this program as `demo-agent` (see demo-main.ts), run in the sandbox like any other agent. */
export function createDemoAgent(): Agent {
  return {
    name: "demo",
    builtIn: true,
    modelApi: undefined,
    modes: ["auto"],
    steers: false,
    onlyLocal: true,
    // It has one.
    limitsTurns: true,
    replays: false,
    keeps: () => false,
    hasTranscript: async () => false,
    discardTranscripts: async () => undefined,
    command({ prompt }) {
      const own = ownExecutable();
      const argv = [...own.argv, "demo-agent"] as const;
      return { argv, env: {}, stdin: prompt, readable: own.readable, builtIn: true };
    },
    reader: createClaudeReader,
  };
}
