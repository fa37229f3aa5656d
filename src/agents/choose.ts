import type { Config } from "../config/config.ts";
import type { Agent } from "./agent.ts";
import { createClaudeAgent } from "./claude.ts";
import { createCommandAgent } from "./command.ts";
import { createDemoAgent } from "./demo.ts";
import { findProgram } from "./find-program.ts";

export { findProgram } from "./find-program.ts";

export interface ChosenAgent {
  agent: Agent;
  /** For the start log: which agent, and why not another. */
  why: string;
  /** The agent's program is not there (yet): every run will fail with this sentence until it is. */
  missing: string | undefined;
}

type Wanted = Pick<
  Config,
  "agent" | "agentCommand" | "anthropicApiKey" | "claudePath" | "claudeModel" | "path"
>;

/** AGENT's choice; without one, Claude where its program and a key are there, else the demo. Looks at the file system. */
export function chooseAgent({ config }: { config: Wanted }): ChosenAgent {
  const { agent, agentCommand, anthropicApiKey, claudePath, claudeModel, path } = config;
  if (agent === "command" && agentCommand) {
    const [name] = agentCommand;
    const program = () => findProgram(name, path);
    const missing = `The agent's program ${JSON.stringify(name)} is not installed or not executable; see AGENT_COMMAND.`;
    const needsModel = anthropicApiKey !== undefined;
    return {
      agent: createCommandAgent({ argv: agentCommand, program, missing, needsModel }),
      why: `The agent is ${name} (AGENT=command).`,
      missing: program() ? undefined : missing,
    };
  }
  const program = () => findProgram(claudePath ?? "claude", path);
  const found = program();
  const missing = claudePath
    ? `Claude Code is not installed at ${claudePath}; set CLAUDE_PATH to its program.`
    : "Claude Code is not installed at any folder of PATH; install it, or set CLAUDE_PATH to its program.";
  if (agent === "claude" || (agent === undefined && found && anthropicApiKey)) {
    const why = agent ? "AGENT=claude" : "its program and ANTHROPIC_API_KEY are there";
    return {
      agent: createClaudeAgent({ program, missing, model: claudeModel }),
      why: `The agent is Claude Code (${why})${found ? ` at ${found.path}` : ""}.`,
      missing: found ? undefined : missing,
    };
  }
  const lacking = [
    anthropicApiKey ? "" : "ANTHROPIC_API_KEY is not set",
    found ? "" : "Claude Code was not found",
  ];
  const why = agent === "demo" ? "AGENT=demo" : lacking.filter(Boolean).join(" and ");
  return { agent: createDemoAgent(), why: `The agent is the built-in demo (${why}).`, missing: undefined };
}
