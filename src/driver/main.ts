import type { DriverSpec } from "../agents/driver-spec.ts";
import { type AgentChild, startChild } from "./child.ts";
import { prepareConversations } from "./conversations.ts";
import { openMailbox } from "./mailbox.ts";
import { createOutput, type OutputStream } from "./output.ts";
import type { Protocol, ProtocolParts } from "./protocol.ts";
import { createQuestions } from "./questions.ts";

/** How long output is read after the agent's end: programs that it left behind may have its stdout open. */
const LEFTOVER_MS = 2_000;

export interface DriverStreams {
  /** A DriverSpec. */
  stdin: { text(): Promise<string> };
  stdout: OutputStream;
  stderr: { write(part: Uint8Array | string): unknown };
  /** The agent's. */
  env: Record<string, string | undefined>;
  cwd: string;
  onSignal: (signals: readonly NodeJS.Signals[], act: (signal: NodeJS.Signals) => void) => void;
}

/**
 * The driver: starts an agent, talks to it in its protocol, and prints what it says in the shape of Claude Code's
 * stream-json.
 * @returns the exit code: the agent's.
 */
export async function runDriver({
  stdin,
  stdout,
  stderr,
  env,
  cwd,
  onSignal,
}: DriverStreams): Promise<number> {
  const spec = JSON.parse(await stdin.text()) as DriverSpec;
  const output = createOutput(stdout);
  await prepareConversations(spec, env);
  let child: AgentChild;
  try {
    child = startChild(spec, { env, cwd, stderr: (part) => void stderr.write(part) });
  } catch (error) {
    stderr.write(`${spec.argv[0]}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 127;
  }
  // It ends its own programs, which this process cannot know.
  onSignal(["SIGTERM", "SIGINT"], (signal) => child.kill(signal));
  const questions = createQuestions(output);
  const mailbox: { check?: () => void } = {};
  const parts = { spec, child, output, questions, checkMailbox: () => mailbox.check?.() };
  const protocol = await createProtocol(parts);
  // First the prompt is sent: what is in the mailbox already was said after it.
  const talked = protocol.run();
  using opened = spec.mailbox ? openMailbox(spec.mailbox, { ...questions, ...protocol }) : undefined;
  if (opened) mailbox.check = opened.check;
  const leftover = child.exited.then(() => Bun.sleep(LEFTOVER_MS)).then(() => undefined);
  const code = await Promise.race([talked, leftover]);
  questions.cancelAll();
  const exit = await child.exited;
  await output.flush();
  return code ?? exit;
}

async function createProtocol(parts: ProtocolParts): Promise<Protocol> {
  // The library of ACP is as large as the rest of this process.
  if (parts.spec.protocol === "acp") return (await import("./acp.ts")).createAcpProtocol(parts);
  return (await import("./claude.ts")).createClaudeProtocol(parts);
}
