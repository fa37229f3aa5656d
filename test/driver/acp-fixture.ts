import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SessionUpdate } from "@agentclientprotocol/sdk";
import { createAcpAgent } from "../../src/agents/acp.ts";
import type { AgentCommand, AgentEvent, AgentRequest } from "../../src/agents/agent.ts";
import { openDriverFixture } from "./fixture.ts";
import type { AgentScript, Step } from "./scripted-agent.ts";

export const CONVERSATION = "3f0c7c1e-8a31-4b52-9a37-0d3a4f1f0a01";
export const META = { mine: { strict: true } };
/** Steps of its script. */
export const said = (text: string, messageId?: string): Step => ({
  update: {
    sessionUpdate: "agent_message_chunk",
    content: { type: "text", text },
    ...(messageId && { messageId }),
  },
});
export const call = (update: Record<string, unknown>, kind = "tool_call"): Step => ({
  update: { sessionUpdate: kind, toolCallId: "t1", ...update } as unknown as SessionUpdate,
});

/** The driver of the protocol with an agent that follows a script. */
export async function openAcp(script: AgentScript) {
  const fixture = await openDriverFixture();
  const file = join(fixture.paths.tmp, "script.json");
  await Bun.write(file, JSON.stringify(script));
  const command = [process.execPath, join(import.meta.dir, "scripted-agent.ts"), file] as const;
  const declared = { name: "scripted", title: "Scripted", command, protocol: "acp", models: [] } as const;
  const agent = createAcpAgent({
    declared,
    program: () => ({ path: process.execPath, readable: [] }),
    missing: "missing",
    setup: { modes: { auto: ["free"], ask: ["careful"] }, meta: META },
  });
  const start = (request: Partial<AgentRequest> = {}) =>
    fixture.talk(
      agent,
      agent.command({
        ...{ prompt: "Do it.", conversationId: CONVERSATION, resume: false, paths: fixture.paths },
        mailbox: fixture.mailbox,
        ...request,
      }),
    );
  return {
    ...fixture,
    agent,
    start,
    run: (request: Partial<AgentRequest> = {}) => start(request).end(),
    /** Starts it with a stdout that nobody reads, and that takes no more than a pipe does. */
    startUnread: (command: AgentCommand) =>
      Bun.spawn(
        ["sh", "-c", 'mkfifo "$TMPDIR/out"; exec 9<>"$TMPDIR/out"; exec "$@" >&9', "sh", ...command.argv],
        {
          cwd: fixture.paths.checkout,
          env: { PATH: process.env["PATH"] ?? "", TMPDIR: fixture.paths.tmp, ...command.env },
          stdin: Buffer.from(command.stdin),
          stderr: "ignore",
        },
      ),
    /** What the agent was told, by kind. */
    told: (kind: string) =>
      (existsSync(`${file}.log`) ? readFileSync(`${file}.log`, "utf8") : "{}")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .flatMap((one) => (kind in one ? [one[kind]] : [])),
  };
}

/** Blocks of the messages, without ids. */
export const blocks = (events: readonly AgentEvent[]) =>
  events.flatMap(
    (one) =>
      ((one["message"] as { content?: unknown[] } | undefined)?.content ?? []) as Record<string, unknown>[],
  );
