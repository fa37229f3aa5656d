import { appendFileSync, readFileSync } from "node:fs";
import { Readable, Writable } from "node:stream";
import {
  agent,
  type InitializeResponse,
  methods,
  type NewSessionResponse,
  ndJsonStream,
  type PermissionOption,
  PROTOCOL_VERSION,
  RequestError,
  type SessionUpdate,
  type StopReason,
  type ToolCallUpdate,
} from "@agentclientprotocol/sdk";

/** What the agent does in one turn. */
export type Step =
  | { update: SessionUpdate }
  | { ask: ToolCallUpdate; options?: PermissionOption[] }
  /** Written to its stdout as it is. */
  | { raw: string }
  /** Many times the same, without end. */
  | { flood: SessionUpdate; times: number }
  | { asks: number }
  | { stop: StopReason }
  /** Goes on until it is cancelled, and then answers, or rejects the prompt. */
  | { untilCancelled: "answer" | "reject" }
  | { fail: string }
  | { exit: number };

export interface AgentScript {
  about?: Partial<InitializeResponse>;
  session?: Partial<NewSessionResponse>;
  /** A conversation that it has; any other cannot be loaded. */
  has?: string;
  /** What it answers to a message for its running turn; default: injected. */
  steering?: string;
  turns: Step[][];
}

/** An agent of the Agent Client Protocol that follows a script, and writes down what it is told: `FILE` and `FILE.log`. */
function main(file: string): void {
  const script = JSON.parse(readFileSync(file, "utf8")) as AgentScript;
  const note = (entry: unknown) => appendFileSync(`${file}.log`, `${JSON.stringify(entry)}\n`);
  const sessionId = "session-1";
  let turn = 0;
  const cancelled = Promise.withResolvers<void>();
  const options: PermissionOption[] = [
    { optionId: "always", name: "Always", kind: "allow_always" },
    { optionId: "once", name: "Once", kind: "allow_once" },
    { optionId: "no", name: "No", kind: "reject_once" },
  ];
  agent({ name: "scripted" })
    .onRequest(methods.agent.initialize, ({ params }) => {
      note({ initialize: params.clientCapabilities });
      return {
        protocolVersion: PROTOCOL_VERSION,
        agentInfo: { name: "scripted", version: "1.2.3" },
        ...script.about,
      };
    })
    .onRequest(
      methods.agent.authenticate,
      ({ params }) => note({ authenticate: params.methodId }) as undefined,
    )
    .onRequest(methods.agent.session.new, ({ params }) => {
      note({ new: params });
      return { sessionId, ...script.session };
    })
    .onRequest(
      "_session/steering",
      (params) => params as { prompt: unknown },
      ({ params }) => {
        note({ steering: params.prompt });
        return { outcome: script.steering ?? "injected" };
      },
    )
    .onRequest(methods.agent.session.load, async ({ params, client }) => {
      note({ load: params.sessionId, loaded: params });
      if (params.sessionId !== script.has) throw new RequestError(-32002, "Resource not found");
      const content = { type: "text" as const, text: "said before" };
      const update = { sessionUpdate: "agent_message_chunk" as const, content };
      await client.notify(methods.client.session.update, { sessionId, update });
      return {};
    })
    .onNotification(methods.agent.session.cancel, ({ params }) => {
      note({ cancel: params.sessionId });
      cancelled.resolve();
    })
    .onRequest(methods.agent.session.setMode, ({ params }) => note({ mode: params.modeId }) as undefined)
    .onRequest(methods.agent.session.setConfigOption, ({ params }) => {
      note({ option: params });
      return { configOptions: [] };
    })
    .onRequest(methods.agent.session.prompt, async ({ params, client }) => {
      note({ prompt: params.prompt });
      const ask = async (toolCall: ToolCallUpdate, offered = options) => {
        const request = { sessionId, toolCall, options: offered };
        note(await client.request(methods.client.session.requestPermission, request));
      };
      for (const step of script.turns[turn++] ?? []) {
        if ("update" in step)
          await client.notify(methods.client.session.update, { sessionId, update: step.update });
        else if ("ask" in step) await ask(step.ask, step.options);
        else if ("asks" in step)
          await Promise.all(
            Array.from({ length: step.asks }, (_, n) => ask({ toolCallId: `t${n}`, kind: "edit" })),
          );
        else if ("flood" in step) {
          const params = { sessionId, update: step.flood };
          const line = `${JSON.stringify({ jsonrpc: "2.0", method: "session/update", params })}\n`;
          for (let n = 0; n < step.times; n++) process.stdout.write(line);
        } else if ("raw" in step) process.stdout.write(step.raw);
        else if ("fail" in step) throw new RequestError(-32603, "Internal error", { details: step.fail });
        else if ("untilCancelled" in step) {
          await cancelled.promise;
          if (step.untilCancelled === "reject") throw new RequestError(-32603, "Aborted");
          return { stopReason: "cancelled" as const };
        } else if ("exit" in step) process.exit(step.exit);
        else return { stopReason: step.stop, usage: { inputTokens: 7, outputTokens: 3, totalTokens: 10 } };
      }
      return { stopReason: "end_turn", usage: { inputTokens: 7, outputTokens: 3, totalTokens: 10 } };
    })
    .connect(
      ndJsonStream(
        Writable.toWeb(process.stdout) as WritableStream<Uint8Array>,
        Readable.toWeb(process.stdin) as unknown as ReadableStream<Uint8Array>,
      ),
    );
}

if (import.meta.main) main(process.argv[2] ?? "");
