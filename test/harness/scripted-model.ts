/**
 * A fake Messages API on loopback with scripted replies: what Claude Code and @anthropic-ai/sdk need of it, as a stream in
 * Anthropic's documented event format or as one JSON body.
 */
export type ScriptedBlock =
  | { type: "text"; text: string }
  | { type: "tool_use"; name: string; input: Record<string, unknown>; id?: string };

export type ScriptedReply =
  | readonly ScriptedBlock[]
  | { error: { status: number; type: string; message: string; retryAfterS?: number } }
  /** Begins a stream, if one was requested, and sends nothing more until the client disconnects or `stop` is called. */
  | { stall: true };

export interface ScriptedRequest {
  method: string;
  path: string;
  headers: Headers;
  body: {
    model?: string;
    stream?: boolean;
    system?: unknown;
    messages: { role: string; content: string | Record<string, unknown>[] }[];
    tools?: { name: string }[];
  };
  /** Resolves when the client has disconnected. */
  disconnected: Promise<void>;
}

/** Returns the reply to one request. @param call the number of the request, from 0. */
export type ModelScript = (request: ScriptedRequest, call: number) => ScriptedReply | Promise<ScriptedReply>;

/** A script of these replies, one per request; afterwards the reply is the text "done." */
export function repliesInTurn(...replies: ScriptedReply[]): ModelScript {
  return (_request, call) => replies[call] ?? [{ type: "text", text: "done." }];
}

/** The messages of a request as JSON text. */
export function messagesText(request: ScriptedRequest): string {
  return JSON.stringify(request.body.messages);
}

/** @param options.outputTokens what the API says that an answer has. Default: 20. */
export function startScriptedModel({
  script,
  outputTokens = () => 20,
}: {
  script: ModelScript;
  outputTokens?: (() => number) | undefined;
}) {
  const requests: ScriptedRequest[] = [];
  const stopped = Promise.withResolvers<void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(incoming) {
      const { pathname } = new URL(incoming.url);
      const disconnected = new Promise<void>((resolve) =>
        incoming.signal.addEventListener("abort", () => resolve()),
      );
      const body =
        incoming.method === "POST" ? ((await incoming.json()) as ScriptedRequest["body"]) : { messages: [] };
      const request = {
        method: incoming.method,
        path: pathname,
        headers: incoming.headers,
        body,
        disconnected,
      };
      if (pathname === "/v1/messages/count_tokens") return Response.json({ input_tokens: 10 });
      if (pathname !== "/v1/messages") return failure(404, "not_found_error", pathname);
      const call = requests.push(request) - 1;
      const reply = await script(request, call);
      const end = Promise.race([disconnected, stopped.promise]);
      if ("error" in reply) {
        const { status, type, message, retryAfterS } = reply.error;
        const refused = failure(status, type, message);
        if (retryAfterS !== undefined) refused.headers.set("retry-after", String(retryAfterS));
        return refused;
      }
      if ("stall" in reply) {
        if (!body.stream) await end;
        return sse(async function* () {
          yield messageStart(body.model);
          await end;
        });
      }
      if (!body.stream) return Response.json(wholeMessage(body.model, reply));
      return sse(async function* () {
        yield* streamed(body.model, reply, outputTokens());
      });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    requests: requests as readonly ScriptedRequest[],
    async stop() {
      stopped.resolve();
      await server.stop(true);
    },
  };
}

type WireEvent = { type: string; [key: string]: unknown };

function* streamed(
  model: string | undefined,
  blocks: readonly ScriptedBlock[],
  output_tokens: number,
): Generator<WireEvent> {
  yield messageStart(model);
  for (const [index, block] of blocks.entries()) {
    const text = block.type === "text";
    const content_block = text ? { type: "text", text: "" } : { ...withId(block), input: {} };
    yield { type: "content_block_start", index, content_block };
    const delta = text
      ? { type: "text_delta", text: block.text }
      : { type: "input_json_delta", partial_json: JSON.stringify(block.input) };
    yield { type: "content_block_delta", index, delta };
    yield { type: "content_block_stop", index };
  }
  const delta = { stop_reason: stopReason(blocks), stop_sequence: null };
  yield { type: "message_delta", delta, usage: { output_tokens } };
  yield { type: "message_stop" };
}

function messageStart(model: string | undefined): WireEvent {
  return { type: "message_start", message: { ...emptyMessage(model), stop_reason: null } };
}

function wholeMessage(model: string | undefined, blocks: readonly ScriptedBlock[]) {
  return { ...emptyMessage(model), content: blocks.map(withId), stop_reason: stopReason(blocks) };
}

function emptyMessage(model: string | undefined) {
  return {
    id: `msg_${crypto.randomUUID()}`,
    type: "message",
    role: "assistant",
    model: model ?? "scripted",
    content: [] as unknown[],
    stop_sequence: null,
    usage: { input_tokens: 100, output_tokens: 1 },
  };
}

function withId(block: ScriptedBlock): ScriptedBlock {
  return block.type === "text" ? block : { id: `toolu_${crypto.randomUUID()}`, ...block };
}

function stopReason(blocks: readonly ScriptedBlock[]): string {
  return blocks.some((one) => one.type === "tool_use") ? "tool_use" : "end_turn";
}

function sse(events: () => AsyncGenerator<WireEvent>): Response {
  async function* lines() {
    for await (const event of events()) yield `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
  }
  return new Response(lines(), { headers: { "content-type": "text/event-stream" } });
}

function failure(status: number, type: string, message: string): Response {
  return Response.json({ type: "error", error: { type, message } }, { status });
}
