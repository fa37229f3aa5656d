import {
  type ClientContext,
  type ContentBlock,
  client,
  methods,
  PROTOCOL_VERSION,
} from "@agentclientprotocol/sdk";
import type { AcpSpec, DriverSpec } from "../agents/driver-spec.ts";
import { cut } from "../agents/events.ts";
import { asObject, type JsonObject } from "../shared/json.ts";
import { createAcpEvents } from "./acp-events.ts";
import { permission } from "./acp-permission.ts";
import { ConversationLost, openSession, reasonOf } from "./acp-session.ts";
import { createAcpSteering } from "./acp-steering.ts";
import { openAcpStream } from "./acp-stream.ts";
import { createAcpTurns } from "./acp-turns.ts";
import type { AgentChild } from "./child.ts";
import { assistant } from "./output.ts";
import { type Protocol, type ProtocolParts, withoutCommand } from "./protocol.ts";

/** How long an agent may take to end once its stdin is closed: many end at once, Codex without a network never. */
const CLOSED_MS = 1_000;
/** And then, after SIGTERM: Gemini CLI needs two seconds. */
const TERMINATED_MS = 4_000;
const REASON_LIMIT = 4_000;

/** What stop reasons mean in Claude Code's result lines. */
const ENDS: Readonly<Record<string, readonly [subtype: string, terminal: string, text: string]>> = {
  end_turn: ["success", "completed", ""],
  max_tokens: ["error_during_execution", "max_tokens", "The answer reached the model's limit of tokens."],
  max_turn_requests: ["error_max_turns", "max_turns", "The agent reached its limit of turns."],
  refusal: ["error_during_execution", "refusal", "The agent refused to go on."],
  cancelled: ["error_during_execution", "aborted_streaming", "The turn was cancelled."],
};

/** An agent of the Agent Client Protocol. Files and terminals are the agent's own affair. */
export function createAcpProtocol({ spec, child, output, questions, checkMailbox }: ProtocolParts): Protocol {
  const started = Date.now();
  const turns = createAcpTurns(spec.maxTurns);
  const events = createAcpEvents(output, turns.round);
  const steering = createAcpSteering({ output, events, checkMailbox });
  const usage = { input_tokens: 0, output_tokens: 0 };
  let began = false;
  let ended = false;

  return {
    steer(steer) {
      if (!ended) steering.steer(steer);
    },
    async run() {
      if (!spec.acp) throw new Error("the driver needs `acp` for this protocol");
      const stream = openAcpStream({ child, output, onUpdate, onResult });
      const connection = client({ name: "prompt-backend" })
        .onRequest(methods.client.session.requestPermission, ({ params, signal }) =>
          permission(params, {
            ...{ ask: spec.mode === "ask", events, questions, signal },
            denied: (tool, reason) => steering.denied(tool, reason),
          }),
        )
        .connect(stream);
      const code = await talk(connection.agent, { ...spec, acp: spec.acp }).catch((error: unknown) => {
        // An agent that has ended by itself is judged by its exit code and its stderr.
        if (connection.signal.aborted) return undefined;
        return finish("error_during_execution", "error", reasonOf(error), error instanceof ConversationLost);
      });
      questions.cancelAll();
      await endChild(child, stream.ended);
      return code;
    },
  };

  /** @returns the exit code of the run. */
  async function talk(agent: ClientContext, full: DriverSpec & { acp: AcpSpec }): Promise<number> {
    const about = await agent.request(methods.agent.initialize, {
      protocolVersion: PROTOCOL_VERSION,
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
      clientInfo: { name: "prompt-backend", version: "1" },
    });
    const { sessionId, isInstructed, unreachable } = await openSession(agent, about, full);
    began = true;
    const { acp, images = [] } = full;
    const { name, version } = about.agentInfo ?? {};
    const init = { cwd: acp.checkout, ...(acp.model && { model: acp.model }), tools: [], agent: name };
    output.print({ type: "system", subtype: "init", ...init, claude_code_version: version });
    const canSee = about.agentCapabilities?.promptCapabilities?.image === true;
    if (images.length > 0 && !canSee) output.print({ type: "system", subtype: "images_left_out" });
    if (unreachable.length > 0) output.print(assistant({ type: "text", text: leftOut(unreachable) }));
    let prompt: ContentBlock[] = [
      ...(acp.instructions && !isInstructed ? [text(acp.instructions)] : []),
      text(withoutCommand(full.prompt)),
      ...(canSee
        ? images.map(({ mediaType, data }) => ({ type: "image" as const, mimeType: mediaType, data }))
        : []),
    ];
    for (;;) {
      steering.begin(agent, about, sessionId);
      const sent = agent.request(methods.agent.session.prompt, { sessionId, prompt });
      const stopReason = await turns.within(agent, sessionId, sent);
      events.flush();
      questions.cancelAll();
      const next = await steering.end(stopReason);
      if (next.length === 0)
        return finish(...(ENDS[stopReason] ?? ["error_during_execution", stopReason, stopReason]));
      prompt = next.map((one) => text(withoutCommand(one)));
    }
  }

  /** @param lost nothing was done, because the conversation is lost. */
  function finish(subtype: string, terminal_reason: string, reason: string, lost = false): number {
    ended = true;
    events.flush();
    const is_error = subtype !== "success";
    const cost = events.cost();
    output.print({
      ...{ type: "result", subtype, is_error, terminal_reason },
      result: is_error ? cut(reason, REASON_LIMIT) : events.lastText(),
      num_turns: lost ? 0 : Math.max(1, turns.count()),
      duration_ms: Date.now() - started,
      usage,
      ...(cost !== undefined && { total_cost_usd: cost }),
    });
    return is_error ? 1 : 0;
  }

  function onUpdate(update: JsonObject): void {
    // While a conversation is loaded, the agent repeats it.
    if (began && !ended) events.update(update);
  }

  function onResult(result: JsonObject): void {
    const spent = asObject(result["usage"]);
    const count = (name: string) => (typeof spent?.[name] === "number" ? Number(spent[name]) : 0);
    usage.input_tokens += count("inputTokens") + count("cachedReadTokens") + count("cachedWriteTokens");
    usage.output_tokens += count("outputTokens");
  }
}

const leftOut = (servers: readonly string[]) =>
  `This agent cannot reach the project's MCP servers ${servers.join(", ")} by their URL: it works without them.`;

const text = (value: string) => ({ type: "text" as const, text: value });

/** These agents are servers: they end when they are told to. */
async function endChild(child: AgentChild, outputEnded: Promise<void>): Promise<void> {
  child.end();
  const exited = child.exited.then(() => true);
  const within = (ms: number) => Promise.race([exited, Bun.sleep(ms).then(() => false)]);
  if (await within(CLOSED_MS)) return;
  child.kill("SIGTERM");
  if (await within(TERMINATED_MS)) return;
  child.kill("SIGKILL");
  await Promise.race([outputEnded, exited]);
}
