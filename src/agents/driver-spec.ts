import type { RunMode } from "../db/columns.ts";
import type { AgentCommand, AgentImage } from "./agent.ts";
import { parseObject } from "./events.ts";
import { ownExecutable } from "./own-executable.ts";

/**
 * What the driver (src/driver) is to do, its stdin: it runs in the sandbox as the parent of an agent that is talked to
 * rather than started.
 */
export interface DriverSpec {
  protocol: "claude" | "acp";
  /** The agent's program and arguments. It gets the driver's environment. */
  argv: readonly [string, ...string[]];
  prompt: string;
  images?: readonly AgentImage[] | undefined;
  conversationId: string;
  resume: boolean;
  mode: RunMode;
  /** The folder where answers and steering messages arrive; undefined: nobody sends any. */
  mailbox?: string | undefined;
  /** How many turns the agent may take; undefined: any number, or the agent counts them itself. */
  maxTurns?: number | undefined;
  /** For the protocol acp. */
  acp?: AcpSpec | undefined;
}

export interface AcpSpec {
  checkout: string;
  /** The file that remembers the agent's own id of the conversation. */
  sessionFile: string;
  /** Text that comes before the first prompt of a conversation. */
  instructions?: string | undefined;
  model?: string | undefined;
  /** In the shape of Claude Code's configuration: by name, `{command, args, env}` or `{type, url, headers}`. */
  mcpServers?: Readonly<Record<string, unknown>> | undefined;
  /** `_meta` of the requests that begin and continue a conversation. */
  meta?: Readonly<Record<string, unknown>> | undefined;
  /** Whose files of conversations need care before they are continued (see src/driver/conversations.ts). */
  conversations?: "gemini" | "opencode" | undefined;
  /** Modes of the agent that fit the mode of the prompt, the best one first. */
  modes?: Readonly<Partial<Record<RunMode, readonly string[]>>> | undefined;
}

/** Starts this program as the driver of an agent. @param readable what the agent itself needs. */
export function driverCommand(
  spec: DriverSpec,
  { env, readable }: Pick<AgentCommand, "env" | "readable">,
): AgentCommand {
  const own = ownExecutable();
  return {
    argv: [...own.argv, "agent-driver"],
    env,
    stdin: JSON.stringify(spec),
    readable: [...new Set([...own.readable, ...readable])],
  };
}

/** The agent's own id of a conversation, from the driver's file of it, where the agent can write, too. */
export const resumableSession = (text: string): string | undefined => shortText(text, "sessionId");

/** Where the conversation's checkout was in its last run. */
export const formerCheckout = (text: string): string | undefined => shortText(text, "checkout");

/** The hash of the instructions that the conversation was told last. */
export const toldInstructions = (text: string): string | undefined => shortText(text, "instructions");

function shortText(text: string, key: string): string | undefined {
  const value = parseObject(text)?.[key];
  return typeof value === "string" && value !== "" && value.length <= 4_096 ? value : undefined;
}
