import {
  type OfferedTool,
  type ReadRequest,
  type ResolvedPart,
  startTurnServer,
  type ToolCall,
  type TurnScript,
} from "./scripted-turns.ts";

type Json = Record<string, unknown>;

/**
 * A scripted model on loopback with OpenAI's API: POST /v1/responses, POST /v1/chat/completions, each as a stream or as one JSON
 * body, and GET /v1/models. Events and shapes as OpenAI's API reference describes them: "Streaming events" of Responses
 * (response.created … response.completed, each with a sequence_number, without a closing [DONE]), and
 * chat.completion.chunk of Chat Completions (which ends with [DONE]).
 */
export function startScriptedOpenAi({
  script,
  models = ["scripted"],
  outputTokens = () => 20,
}: {
  script: TurnScript;
  models?: string[];
  outputTokens?: (() => number) | undefined;
}) {
  return startTurnServer(
    {
      read(path, body) {
        if (path === "/v1/responses") return readResponses(body, outputTokens);
        if (path === "/v1/chat/completions") return readChat(body, outputTokens);
        return undefined;
      },
      other(method, path) {
        if (method !== "GET" || path.split("?")[0] !== "/v1/models") return undefined;
        const data = models.map((id) => ({ id, object: "model", created: 1, owned_by: "scripted" }));
        return Response.json({ object: "list", data });
      },
      failure(status, message) {
        const type = status === 401 ? "invalid_request_error" : "server_error";
        const code = status === 401 ? "invalid_api_key" : null;
        return Response.json({ error: { message, type, param: null, code } }, { status });
      },
    },
    script,
  );
}

const list = (value: unknown) => (Array.isArray(value) ? (value as Json[]) : []);

function readResponses(body: Json, outputTokens: () => number): ReadRequest {
  const id = `resp_${crypto.randomUUID()}`;
  const model = String(body["model"]);
  const response = (status: string, output: readonly Json[]) => ({
    ...{ id, object: "response", created_at: 1, status, model, output, error: null },
    ...(status === "completed" && {
      usage: {
        ...{ input_tokens: 100, input_tokens_details: { cached_tokens: 0 } },
        ...{
          output_tokens: outputTokens(),
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: 100 + outputTokens(),
        },
      },
    }),
  });
  const event = (type: string, number: number, more: Json) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number, ...more })}\n\n`;
  const opening = event("response.created", 0, { response: response("in_progress", []) });
  return {
    model,
    stream: body["stream"] === true,
    tools: [...list(body["tools"]), ...addedTools(body)].flatMap(toolsOfResponses),
    conversation: JSON.stringify(body["input"]),
    opening,
    whole: (parts) => response("completed", parts.map(itemOf)),
    *streamed(parts) {
      yield opening;
      let number = 1;
      const items = parts.map(itemOf);
      for (const [output_index, item] of items.entries())
        for (const [type, more] of itemEvents(item, parts[output_index] as ResolvedPart))
          yield event(type, number++, { output_index, ...more });
      yield event("response.completed", number, { response: response("completed", items) });
    },
  };
}

/** Codex offers the tools of its newer models as an item of the input. */
function addedTools(body: Json): Json[] {
  return list(body["input"])
    .filter((item) => item["type"] === "additional_tools")
    .flatMap((item) => list(item["tools"]));
}

/** Functions may be grouped in a namespace. */
function toolsOfResponses(tool: Json): OfferedTool[] {
  if (tool["type"] === "namespace") return list(tool["tools"]).flatMap(toolsOfResponses);
  const name = tool["name"] ?? tool["type"];
  const schema = (tool["parameters"] ?? {}) as OfferedTool["schema"];
  return [{ name: String(name), schema, ...(tool["type"] === "custom" && { free: true as const }) }];
}

function itemOf(part: ResolvedPart): Json {
  if ("text" in part) {
    const content = [{ type: "output_text", text: part.text, annotations: [] }];
    return {
      type: "message",
      id: `msg_${crypto.randomUUID()}`,
      status: "completed",
      role: "assistant",
      content,
    };
  }
  const { id, name, input } = part.call;
  if (typeof input === "string") {
    const itemId = `ctc_${crypto.randomUUID()}`;
    return { type: "custom_tool_call", id: itemId, status: "completed", call_id: id, name, input };
  }
  const call = { call_id: id, name, arguments: JSON.stringify(input) };
  return { type: "function_call", id: `fc_${crypto.randomUUID()}`, status: "completed", ...call };
}

function* itemEvents(item: Json, part: ResolvedPart): Generator<[string, Json]> {
  const item_id = item["id"];
  if ("call" in part && typeof part.call.input === "string") {
    const { input } = part.call;
    yield ["response.output_item.added", { item: { ...item, status: "in_progress", input: "" } }];
    yield ["response.custom_tool_call_input.delta", { item_id, delta: input }];
    yield ["response.custom_tool_call_input.done", { item_id, input }];
  } else if ("call" in part) {
    const text = item["arguments"];
    yield ["response.output_item.added", { item: { ...item, status: "in_progress", arguments: "" } }];
    yield ["response.function_call_arguments.delta", { item_id, delta: text }];
    yield ["response.function_call_arguments.done", { item_id, arguments: text }];
  } else {
    const at = { item_id, content_index: 0 };
    const empty = { type: "output_text", text: "", annotations: [] };
    yield ["response.output_item.added", { item: { ...item, status: "in_progress", content: [] } }];
    yield ["response.content_part.added", { ...at, part: empty }];
    yield ["response.output_text.delta", { ...at, delta: part.text }];
    yield ["response.output_text.done", { ...at, text: part.text }];
    yield ["response.content_part.done", { ...at, part: { ...empty, text: part.text } }];
  }
  yield ["response.output_item.done", { item }];
}

function readChat(body: Json, outputTokens: () => number): ReadRequest {
  const id = `chatcmpl-${crypto.randomUUID()}`;
  const model = String(body["model"]);
  const completion_tokens = outputTokens();
  const usage = { prompt_tokens: 100, completion_tokens, total_tokens: 100 + completion_tokens };
  const base = { id, created: 1, model };
  const chunk = (delta: Json, finish_reason: string | null = null) =>
    `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  const opening = chunk({ role: "assistant", content: "" });
  const tools = list(body["tools"]).map((one) => {
    const { name, parameters = {} } = one["function"] as { name: string; parameters?: OfferedTool["schema"] };
    return { name, schema: parameters };
  });
  const reason = (parts: readonly ResolvedPart[]) =>
    parts.some((one) => "call" in one) ? "tool_calls" : "stop";
  return {
    ...{ model, tools, opening, stream: body["stream"] === true },
    conversation: JSON.stringify(body["messages"]),
    whole(parts) {
      const content = parts.map((one) => ("text" in one ? one.text : "")).join("");
      const calls = callsOf(parts).map(functionOf);
      const message = { role: "assistant", content, ...(calls.length > 0 && { tool_calls: calls }) };
      const choices = [{ index: 0, message, finish_reason: reason(parts) }];
      return { ...base, object: "chat.completion", choices, usage };
    },
    *streamed(parts) {
      yield opening;
      for (const one of parts) if ("text" in one) yield chunk({ content: one.text });
      for (const [index, call] of callsOf(parts).entries())
        yield chunk({ tool_calls: [{ index, ...functionOf(call) }] });
      yield chunk({}, reason(parts));
      yield `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices: [], usage })}\n\n`;
      yield "data: [DONE]\n\n";
    },
  };
}

const callsOf = (parts: readonly ResolvedPart[]) => parts.flatMap((one) => ("call" in one ? [one.call] : []));

const functionOf = ({ id, name, input }: ToolCall) => ({
  id,
  type: "function",
  function: { name, arguments: JSON.stringify(input) },
});
