import { basename } from "node:path";
import type { Config } from "../config/config.ts";
import type { ModelApi } from "../db/columns.ts";
import type { Agent } from "./agent.ts";
import { createClaudeAgent } from "./claude.ts";
import { createCommandAgent } from "./command.ts";
import { createDemoAgent } from "./demo.ts";
import { findCommand, findProgram } from "./find-program.ts";

export interface ChosenAgent {
  agent: Agent;
  /** For the log at start-up: which agent was chosen, and why. */
  why: string;
  /** Set: the agent's program is not installed, and runs fail with this sentence until it is. Everybody may read it: without paths. */
  missing: string | undefined;
  /** Why it is the demo, the part of a sentence, which everybody may read. Null: it is not. */
  whyDemo: string | null;
}

export type AgentConfig = Pick<
  Config,
  | "agent"
  | "agentCommand"
  | "anthropicApiKey"
  | "openaiApiKey"
  | "geminiApiKey"
  | "claudePath"
  | "declaredAgents"
  | "claudeModel"
  | "path"
  | "sandboxProvider"
>;

/** The API of the first key that is set: a program of AGENT_COMMAND has access to one. */
const firstApi = ({ anthropicApiKey, openaiApiKey, geminiApiKey }: AgentConfig): ModelApi | undefined =>
  (anthropicApiKey && "anthropic") ?? (openaiApiKey && "openai") ?? (geminiApiKey && "google");

/** Chooses AGENT; if that is not set, Claude Code if its program and a key exist, else the demo. Reads the file system. */
export function chooseAgent({ config }: { config: AgentConfig }): ChosenAgent {
  const { agent, agentCommand, anthropicApiKey, claudePath, claudeModel, path } = config;
  if (agent === "command" && agentCommand) {
    const [name] = agentCommand;
    const program = () => findCommand(agentCommand, path);
    const missing = `The program ${JSON.stringify(basename(name))} of AGENT_COMMAND is not installed or not executable.`;
    return {
      agent: createCommandAgent({ argv: agentCommand, program, missing, modelApi: firstApi(config) }),
      why: `The agent is ${name} (AGENT=command).`,
      missing: program() ? undefined : missing,
      whyDemo: null,
    };
  }
  const program = () => findProgram(claudePath ?? "claude", path);
  const found = program();
  const missing = claudePath
    ? "Claude Code is not installed where CLAUDE_PATH says."
    : "Claude Code is not installed: run npm install -g @anthropic-ai/claude-code, or set CLAUDE_PATH.";
  if (agent === "claude" || (agent === undefined && found && anthropicApiKey)) {
    const why = agent ? "AGENT=claude" : "its program and ANTHROPIC_API_KEY were found";
    return {
      agent: createClaudeAgent({ program, missing, model: claudeModel }),
      why: `The agent is Claude Code (${why})${found ? ` at ${found.path}` : ""}.`,
      missing: found ? undefined : missing,
      whyDemo: null,
    };
  }
  const lacking = [
    anthropicApiKey ? "" : "ANTHROPIC_API_KEY is not set",
    found ? "" : "Claude Code was not found",
  ];
  const whyDemo = agent === "demo" ? "AGENT=demo" : lacking.filter(Boolean).join(" and ");
  const why = `The agent is the built-in demo (${whyDemo}).`;
  return { agent: createDemoAgent(), why, missing: undefined, whyDemo };
}
