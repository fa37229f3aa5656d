import type { ModelApi, RunMode } from "../db/columns.ts";

/**
 * The agent seam: what the runner needs to know about a coding agent. An agent is a program that runs in a sandbox,
 * reads the prompt from stdin, and prints lines. Nothing here starts a process.
 */
export { AGENT_NAMES, type AgentName } from "../shared/agent-kinds.ts";

export interface AgentRequest {
  /** The prompt's text, as the agent reads it. */
  prompt: string;
  /** Those that came with the prompt, for agents that see; the prompt's text says where each is as a file, too. */
  images?: readonly AgentImage[] | undefined;
  /** UUID of the conversation: the same for every prompt of a session. */
  conversationId: string;
  /** Whether the state directory has a transcript of this conversation to continue. */
  resume: boolean;
  /** The repository's own instructions for agents (see instructions.ts). */
  instructions?: string | undefined;
  /** As the agent sees them, in the sandbox. */
  paths: SandboxPaths;
  /** Set: the checkout is elsewhere, and the agent must not use file and shell tools of its own. */
  remote?: RemoteWorkplace | undefined;
  /** The folder with what its user answers and says (see runs/mail.ts), as the agent sees it. */
  mailbox?: string | undefined;
  /** The project's MCP servers, in the shape of Claude Code's `mcpServers`. They contain secrets. */
  mcpServers?: Readonly<Record<string, unknown>> | undefined;
  /** This run's access to the model, by `Agent.modelApi`; undefined if the agent needs none. */
  model?: { baseUrl: string; token: string } | undefined;
  /** The model that was chosen; default: the agent's own. */
  modelName?: string | undefined;
  /** Default: auto. */
  mode?: RunMode | undefined;
  /** How many turns it may take; default: any number. */
  maxTurns?: number | undefined;
}

export interface AgentImage {
  /** image/png, image/jpeg, image/gif or image/webp, by its content. */
  mediaType: string;
  /** In base64. */
  data: string;
}

/** A checkout that is not on this machine: it can be reached only through tools of the Model Context Protocol. */
export interface RemoteWorkplace {
  /** The file with the MCP servers' configuration, as the agent sees it. It contains secrets. */
  mcpConfig: string;
  /** The checkout's folder, as the tools see it. */
  checkout: string;
  /** Where the MCP servers are: `host:port`, with an IPv6 address in brackets. */
  servers: readonly string[];
}

export interface SandboxPaths {
  /** The checkout; the agent's working directory. */
  checkout: string;
  home: string;
  tmp: string;
  /** The agent's own files. What `Agent.keeps` names is kept between the prompts of one session. */
  state: string;
}

export interface AgentCommand {
  argv: readonly [string, ...string[]];
  /** The agent's own variables; the sandbox adds PATH, HOME, LANG and TMPDIR. */
  env: Readonly<Record<string, string>>;
  stdin: string;
  /** Files and folders of this machine that the agent must be able to read, such as its program. */
  readable: readonly string[];
  /** Written before it starts: readable by the agent alone, and in its own folders alone. */
  files?: readonly PrivateFile[];
  /** Set: it is part of this program. Where only such ones have run in a sandbox, they need no isolation. */
  builtIn?: true;
}

/** A file with secrets: in the agent's state folder, under a name of its own. */
export interface PrivateFile {
  name: string;
  text: string;
}

/** An event as stored in message.data, in the shape of Claude Code's stream-json. */
export type AgentEvent = { type: string; uuid?: string; [key: string]: unknown };

export interface AgentUsage {
  turns?: number;
  /** Including tokens that the API read from or wrote to its cache. */
  input_tokens?: number;
  output_tokens?: number;
  /** Claude Code adds up the cost of a conversation over its prompts: a prompt's own cost is the difference. */
  cost_usd?: number;
}

/** The agent cannot be started (its program or its model is missing); `message` is for the user. Not retried. */
export class AgentUnavailable extends Error {
  override readonly name = "AgentUnavailable";
}

/** How a run ended, judged by the agent's output and its process. `reason` is a sentence for the user. */
export type AgentVerdict =
  | { ok: true; summary: string; usage: AgentUsage }
  | {
      ok: false;
      reason: string;
      summary: string;
      usage: AgentUsage;
      /** It was to continue a conversation, does not have it, and has done nothing. */
      lostConversation?: boolean;
      /** The model's API may be why: it is, if that did not answer (see model-proxy.ts). */
      modelFailed?: boolean;
      /** It is known to have had answers from the model: there may be work. */
      worked?: boolean;
    };

export interface AgentExit {
  /** Exit code; null if a signal ended the process. */
  code: number | null;
  signal: string | null;
  /** The last few KiB of stderr. */
  stderr: string;
}

/** What an agent says of itself: the word of a program in a sandbox. */
export interface AgentIdentity {
  version?: string;
  model?: string;
}

/** Reads the output of one run, line by line. Stateful: each run needs a new one. */
export interface AgentReader {
  /**
   * The event to store for this line; undefined: none. A string: a line of plain text, which may be joined with its
   * neighbours in one event.
   */
  read(line: string): AgentEvent | string | undefined;
  /** Whether the agent has reported its result, so that nothing is left but to exit. */
  hasResult(): boolean;
  /** By what was read so far. */
  identity(): AgentIdentity;
  /** Set once the agent turns out to lack the tools of its remote workplace, a sentence for the user: it must be stopped. */
  toolsMissing?(): string | undefined;
  /** Judges by exit code AND result line: without a result, a run has not succeeded. */
  verdict(exit: AgentExit): AgentVerdict;
}

export interface Agent {
  readonly name: string;
  /** Whether it is part of this program, and so needs no isolation. */
  readonly builtIn: boolean;
  /** The API of the model that it needs, by a proxy (see model-proxy.ts); undefined: none. */
  readonly modelApi: ModelApi | undefined;
  /** The modes that it has. */
  readonly modes: readonly RunMode[];
  /** Whether it asks its user, and takes what that says while it works. */
  readonly steers: boolean;
  /** Its tools are its own: it works in a checkout on its machine, and not in a borrowed sandbox. */
  readonly onlyLocal?: true;
  /** Whether it stops at `maxTurns` of its request. */
  readonly limitsTurns: boolean;
  /**
   * Whether what was said before may come with its prompt, if its memory is lost. Otherwise it gets exactly the prompt, and
   * remembers what is in its files.
   */
  readonly replays: boolean;
  /** Whether this file or folder of the state directory is kept for the session's next prompt. Nothing else is. */
  keeps(path: string, isFolder: boolean, conversationId: string): boolean;
  /**
   * Whether the state directory (as this process sees it) has a transcript that can be resumed: `resume` of the next
   * request. Changes nothing.
   */
  hasTranscript(stateDir: string, conversationId: string): Promise<boolean>;
  /**
   * Removes transcripts of the conversation: those that can neither be resumed nor begun again, or all, so that it begins
   * again. Call it before a start.
   */
  discardTranscripts(stateDir: string, conversationId: string, which: "unusable" | "all"): Promise<void>;
  /** @throws AgentUnavailable if its program, or the model that it needs, is missing. */
  command(request: AgentRequest): AgentCommand;
  /** @param remote whether the checkout is elsewhere, as in the command. */
  reader(remote?: boolean): AgentReader;
}
