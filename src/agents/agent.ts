/**
 * The agent seam: what the runner needs to know of a coding agent. An agent is always a program that is started
 * inside a sandbox, gets the prompt on stdin, and prints lines. Nothing here starts a process.
 */
export type AgentName = "claude" | "command" | "demo";

export interface AgentRequest {
  /** The prompt's text, as the agent shall read it. */
  prompt: string;
  /** UUID that names the conversation; the same for every prompt of one session. */
  conversationId: string;
  /** The agent already has this conversation's transcript in its state directory. */
  resume: boolean;
  /** Text of the repository's own instructions to agents (CLAUDE.md), or undefined. */
  instructions?: string | undefined;
  /** Paths as the agent sees them, inside the sandbox. */
  paths: SandboxPaths;
  /** Set: the agent's own file and shell tools are to be off. */
  remote?: RemoteWorkplace | undefined;
  /** Base URL and token of this run's access to the model; undefined where the agent needs none. */
  model?: { baseUrl: string; token: string } | undefined;
}

/** Where the checkout is when it is not on this machine: behind tools of the Model Context Protocol, and nothing else. */
export interface RemoteWorkplace {
  /** The MCP servers' configuration, as the agent sees the file. It holds secrets. */
  mcpConfig: string;
  /** The checkout's folder, as the tools see it. */
  checkout: string;
}

export interface SandboxPaths {
  /** The checkout; the agent's working directory. */
  checkout: string;
  home: string;
  tmp: string;
  /** Kept between the prompts of one session (transcripts). */
  state: string;
}

export interface AgentCommand {
  argv: readonly [string, ...string[]];
  /** The agent's own variables; the sandbox adds PATH, HOME, LANG, TMPDIR. */
  env: Readonly<Record<string, string>>;
  stdin: string;
  /** Files and folders of this machine that the agent must be able to read (its own program). */
  readable: readonly string[];
}

/** One agent event as stored in message.data; shape of Claude Code's stream-json. */
export type AgentEvent = { type: string; uuid?: string; [key: string]: unknown };

export interface AgentUsage {
  turns?: number;
  /** With those that the API's cache served or took. */
  input_tokens?: number;
  output_tokens?: number;
  /** Claude counts on over the prompts of one conversation: a prompt's own cost is the difference. */
  cost_usd?: number;
}

/** The agent cannot be started here (its program or its model is missing); `message` is for the user. Not retried. */
export class AgentUnavailable extends Error {
  override readonly name = "AgentUnavailable";
}

/** How a run ended, as far as the agent and its process can tell. `reason` is a sentence for the user. */
export type AgentVerdict =
  | { ok: true; summary: string; usage: AgentUsage }
  | { ok: false; reason: string; summary: string; usage: AgentUsage };

export interface AgentExit {
  /** Exit code, or null when a signal ended the process. */
  code: number | null;
  signal: string | null;
  /** The last few KiB of stderr. */
  stderr: string;
}

/** Reads one run's output, line by line; stateful, made anew for each run. */
export interface AgentReader {
  /** The event to store for this line, or undefined for a line that is not worth keeping. */
  read(line: string): AgentEvent | undefined;
  /** The agent has said that it is done; all that is left to do is to end. */
  hasResult(): boolean;
  /** Judges by exit code AND result line; never by silence. */
  conclude(exit: AgentExit): AgentVerdict;
}

export interface Agent {
  readonly name: AgentName;
  /** Needs the model proxy (see model-proxy.ts). */
  readonly needsModel: boolean;
  /** Whether the conversation's transcript is in this state directory (as this process sees it): `resume` of the next request. */
  hasTranscript(stateDir: string, conversationId: string): Promise<boolean>;
  /** @throws AgentUnavailable where the program or the model that it needs is not there. */
  command(request: AgentRequest): AgentCommand;
  reader(): AgentReader;
}
