import type { DriverSpec } from "../agents/driver-spec.ts";
import type { AgentChild } from "./child.ts";
import type { Steer } from "./mailbox.ts";
import type { Output } from "./output.ts";
import type { Questions } from "./questions.ts";

export interface ProtocolParts {
  spec: DriverSpec;
  child: AgentChild;
  output: Output;
  questions: Questions;
  /** Hands over the messages that have arrived by now, to `steer` of the protocol. */
  checkMailbox: () => void;
}

/** How an agent is talked to. */
export interface Protocol {
  /** A message of the user's for the run that is going on. */
  steer(steer: Steer): void;
  /**
   * Talks until the agent's stdout ends.
   * @returns the exit code of the run, if it is another than the agent's own.
   */
  run(): Promise<number | undefined>;
}

/** A steering message that the agent has taken. */
export const taken = ({ id, text }: Steer) => ({
  type: "user",
  steer_id: id,
  message: { role: "user", content: [{ type: "text", text }] },
});

/** A prompt as an agent reads it: it would run one that starts with a slash as a command of its own. */
export const withoutCommand = (prompt: string): string =>
  prompt.trimStart().startsWith("/") ? ` ${prompt}` : prompt;
