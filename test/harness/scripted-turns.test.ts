import { expect, test } from "bun:test";
import { startScriptedGoogle } from "./scripted-google.ts";
import { startScriptedOpenAi } from "./scripted-openai.ts";
import { type ModelTurn, turnsInOrder } from "./scripted-turns.ts";

type Json = Record<string, unknown>;

const TURN: ModelTurn = [{ text: "I edit." }, { shell: "ls" }];
const SCHEMA = { type: "object", properties: { cmd: { type: "string" } }, required: ["cmd"] };
const post = (url: string, body: Json, signal?: AbortSignal) =>
  fetch(url, { method: "POST", body: JSON.stringify(body), ...(signal && { signal }) });
/** The events of a stream, without a closing [DONE]. */
const eventsOf = (text: string) =>
  [...text.matchAll(/^data: (\{.*)$/gm)].map((one) => JSON.parse(one[1] ?? "") as Json);

test("Responses: a turn of text and a call is streamed as the reference says, and is whole without a stream", async () => {
  const model = startScriptedOpenAi({ script: () => TURN });
  const tools = [{ type: "function", name: "exec_command", parameters: SCHEMA }];
  const url = `${model.url}/v1/responses`;
  const events = eventsOf(await (await post(url, { model: "m", stream: true, tools, input: [] })).text());
  expect(events.map((one) => one["type"])).toEqual([
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "response.completed",
  ]);
  expect(events.map((one) => one["sequence_number"])).toEqual([...events.keys()]);
  expect(events.at(-1)).toMatchObject({
    response: {
      status: "completed",
      output: [
        { type: "message", content: [{ type: "output_text", text: "I edit." }] },
        { type: "function_call", name: "exec_command", arguments: '{"cmd":"ls"}' },
      ],
    },
  });
  const whole = await (await post(url, { model: "m", tools, input: [] })).json();
  expect(whole).toMatchObject({
    object: "response",
    output: [{ type: "message" }, { name: "exec_command" }],
  });
  await model.stop();
});

test("Responses: tools in the input count, and a shell command becomes code where the tool takes code", async () => {
  const model = startScriptedOpenAi({ script: () => [{ shell: 'echo "a"' }] });
  const added = { type: "namespace", name: "functions", tools: [{ type: "custom", name: "exec" }] };
  const input = [{ type: "additional_tools", tools: [added] }];
  const reply = await (await post(`${model.url}/v1/responses`, { model: "m", input })).json();
  expect(reply).toMatchObject({ output: [{ type: "custom_tool_call", name: "exec" }] });
  expect((reply as { output: { input: string }[] }).output[0]?.input).toContain('cmd: "echo \\"a\\""');
  await model.stop();
});

test("Chat Completions: chunks end with the reason, the usage and [DONE]", async () => {
  const model = startScriptedOpenAi({ script: () => TURN });
  const parameters = {
    ...SCHEMA,
    properties: { command: { type: "string" }, description: { type: "string" } },
    required: ["command", "description"],
  };
  const tools = [{ type: "function", function: { name: "bash", parameters } }];
  const url = `${model.url}/v1/chat/completions`;
  const text = await (await post(url, { model: "m", stream: true, tools, messages: [] })).text();
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  const chunks = eventsOf(text) as { choices: { delta: Json; finish_reason: unknown }[]; usage?: Json }[];
  expect(chunks.map((one) => one.choices[0]?.delta)).toMatchObject([
    { role: "assistant" },
    { content: "I edit." },
    {
      tool_calls: [{ function: { name: "bash", arguments: '{"description":"Scripted.","command":"ls"}' } }],
    },
    {},
    undefined as unknown as Json,
  ]);
  expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("tool_calls");
  expect(chunks.at(-1)?.usage).toMatchObject({ total_tokens: 120 });
  const whole = await (await post(url, { model: "m", tools, messages: [] })).json();
  expect(whole).toMatchObject({
    choices: [{ finish_reason: "tool_calls", message: { content: "I edit." } }],
  });
  expect(await (await fetch(`${model.url}/v1/models`)).json()).toMatchObject({ data: [{ id: "scripted" }] });
  await model.stop();
});

test("Google: records of a stream have the shape of a whole reply", async () => {
  const model = startScriptedGoogle({ script: () => TURN });
  const parametersJsonSchema = { type: "OBJECT", properties: { command: { type: "STRING" } } };
  const tools = [{ functionDeclarations: [{ name: "run_shell_command", parametersJsonSchema }] }];
  const url = `${model.url}/v1beta/models/gemini-x`;
  const records = eventsOf(
    await (await post(`${url}:streamGenerateContent?alt=sse`, { tools, contents: [] })).text(),
  );
  const parts = [
    { text: "I edit." },
    { functionCall: { name: "run_shell_command", args: { command: "ls" } } },
  ];
  expect(records).toMatchObject(parts.map((part) => ({ candidates: [{ content: { parts: [part] } }] })));
  expect(records.at(-1)).toMatchObject({ candidates: [{ finishReason: "STOP" }] });
  const whole = await (await post(`${url}:generateContent`, { tools, contents: [] })).json();
  expect(whole).toMatchObject({ candidates: [{ content: { parts } }] });
  expect(model.requests.map(({ model: name, stream }) => [name, stream])).toEqual([
    ["gemini-x", true],
    ["gemini-x", false],
  ]);
  await model.stop();
});

test("errors, turns that cannot be said and unknown routes are answered, and the latter two are problems", async () => {
  const model = startScriptedOpenAi({
    script: (_request, call) => (call === 0 ? { error: { status: 401, message: "no" } } : TURN),
  });
  const url = `${model.url}/v1/responses`;
  const refused = await post(url, { model: "m", input: [] });
  expect(refused.status).toBe(401);
  expect(await refused.json()).toMatchObject({ error: { message: "no", code: "invalid_api_key" } });
  expect(
    (await post(url, { model: "m", input: [], tools: [{ type: "function", name: "read" }] })).status,
  ).toBe(400);
  expect((await post(`${model.url}/v1/embeddings`, {})).status).toBe(404);
  expect(model.problems).toEqual(["Error: No shell tool among read.", "POST /v1/embeddings"]);
  await model.stop();
});

test("a stalled stream has begun, and the script hears of the client's disconnection", async () => {
  const model = startScriptedOpenAi({ script: () => ({ stall: true }) });
  const abort = new AbortController();
  const body = { model: "m", stream: true, input: [] };
  const reply = await post(`${model.url}/v1/responses`, body, abort.signal);
  const first = await reply.body?.getReader().read();
  expect(new TextDecoder().decode(first?.value)).toContain("response.created");
  abort.abort();
  await model.requests[0]?.disconnected;
  await model.stop();
});

test("requests without tools do not use up the turns of a script", async () => {
  const script = turnsInOrder([{ text: "one" }], [{ text: "two" }]);
  const ask = async (tools: number) =>
    script({ tools: Array.from({ length: tools }, () => ({ name: "t", schema: {} })) } as never, 0);
  expect([await ask(0), await ask(1), await ask(0), await ask(1), await ask(1)]).toEqual([
    [{ text: "Scripted." }],
    [{ text: "one" }],
    [{ text: "Scripted." }],
    [{ text: "two" }],
    [{ text: "done." }],
  ]);
});
