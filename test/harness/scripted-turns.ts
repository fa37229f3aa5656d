/**
 * What the scripted models of OpenAI's and Google's APIs have in common: a turn of a model, said without naming an API, and the
 * server that records requests and answers with what a script says.
 */
export type TurnPart =
  | { text: string }
  /** Calls the tool that runs shell commands, whatever this agent calls it and its argument. */
  | { shell: string }
  /** Calls the first offered tool whose name fits. */
  | { tool: string | RegExp; input: Record<string, unknown> };

export type ModelTurn =
  | readonly TurnPart[]
  | { error: { status: number; message: string; retryAfterS?: number } }
  /** Begins a stream, if one was requested, and sends nothing more until the client disconnects or `stop` is called. */
  | { stall: true };

export interface OfferedTool {
  name: string;
  /** The JSON schema of its arguments. */
  schema: { properties?: Record<string, { type?: unknown }>; required?: readonly string[] };
  /** It takes a text, not arguments. */
  free?: true;
}

export interface ModelRequest {
  method: string;
  /** With the query. */
  path: string;
  headers: Headers;
  body: Record<string, unknown>;
  model: string;
  stream: boolean;
  tools: readonly OfferedTool[];
  /** The conversation as JSON text, without instructions and tools. */
  conversation: string;
  /** Resolves when the client has disconnected. */
  disconnected: Promise<void>;
}

/** Returns the reply to one request. @param call the number of the request, from 0. */
export type TurnScript = (request: ModelRequest, call: number) => ModelTurn | Promise<ModelTurn>;

/**
 * A script of these turns; afterwards the turn is the text "done.". Only requests that offer tools count: agents also ask for
 * titles and summaries, which get the text "Scripted.".
 */
export function turnsInOrder(...turns: readonly ModelTurn[]): TurnScript {
  let next = 0;
  return (request) => {
    if (request.tools.length === 0) return [{ text: "Scripted." }];
    return turns[next++] ?? [{ text: "done." }];
  };
}

/** A tool call in a form that each API can wrap. */
export interface ToolCall {
  id: string;
  name: string;
  /** A text for a tool that takes no arguments. */
  input: Record<string, unknown> | string;
}

export type ResolvedPart = { text: string } | { call: ToolCall };

/** @throws Error that names the offered tools if none fits, since a script that cannot work should not look like a slow agent. */
export function resolveParts(
  parts: readonly TurnPart[],
  tools: readonly OfferedTool[],
): readonly ResolvedPart[] {
  return parts.map((part) => {
    if ("text" in part) return part;
    const id = `call_${crypto.randomUUID().replaceAll("-", "")}`;
    if ("shell" in part) return { call: { id, ...shellCall(part.shell, tools) } };
    const { tool, input } = part;
    const fitting = tools.find(({ name }) => (typeof tool === "string" ? name === tool : tool.test(name)));
    if (!fitting) throw new Error(`No tool ${tool} among ${tools.map(({ name }) => name).join(", ")}.`);
    return { call: { id, name: fitting.name, input } };
  });
}

const SHELL_NAME = /^(bash|shell|exec_command|shell_command|run_shell_command)$/i;
const COMMAND = ["command", "cmd"];

/** The offered shell tool with its required arguments: a command line, or an array for a program and its arguments. */
function shellCall(command: string, tools: readonly OfferedTool[]): Omit<ToolCall, "id"> {
  const tool = tools.find(
    ({ name, schema }) => SHELL_NAME.test(name) && COMMAND.some((key) => schema.properties?.[key]),
  );
  if (!tool && tools.some(isCodeTool)) return { name: CODE_TOOL, input: codeFor(command) };
  if (!tool) throw new Error(`No shell tool among ${tools.map(({ name }) => name).join(", ")}.`);
  const { properties = {}, required = [] } = tool.schema;
  const key = COMMAND.find((one) => properties[one]) as string;
  const others = required.filter((one) => one !== key && isString(properties[one]?.type));
  return {
    name: tool.name,
    input: {
      ...Object.fromEntries(others.map((one) => [one, "Scripted."])),
      [key]: isString(properties[key]?.type) ? command : ["bash", "-c", command],
    },
  };
}

/** Codex lets its newer models write JavaScript, in which its shell tool is a function. */
const CODE_TOOL = "exec";
const isCodeTool = ({ name, free }: OfferedTool) => name === CODE_TOOL && free === true;
const codeFor = (command: string) =>
  `const { output } = await tools.exec_command({ cmd: ${JSON.stringify(command)} });\ntext(output);`;

// Google's schemas write types in capitals.
const isString = (type: unknown) => String(type).toLowerCase() === "string";

/** What an API adds to the common server. */
export interface ModelApi {
  /** What a request asks for; undefined: no route of the model. */
  read(path: string, body: Record<string, unknown>): ReadRequest | undefined;
  /** Answers what is not the model itself, such as the list of models; undefined: 404. */
  other?(method: string, path: string): Response | undefined;
  failure(status: number, message: string): Response;
}

export interface ReadRequest extends Pick<ModelRequest, "model" | "stream" | "tools" | "conversation"> {
  whole(parts: readonly ResolvedPart[]): unknown;
  /** The texts of the stream, each a whole event with its empty line. */
  streamed(parts: readonly ResolvedPart[]): Iterable<string>;
  /** The first event of a stream that stalls. */
  opening: string;
}

export function startTurnServer(api: ModelApi, script: TurnScript) {
  const requests: ModelRequest[] = [];
  const problems: string[] = [];
  const stopped = Promise.withResolvers<void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(incoming) {
      const { pathname, search } = new URL(incoming.url);
      const path = pathname + search;
      const { method, headers } = incoming;
      const disconnected = new Promise<void>((resolve) =>
        incoming.signal.addEventListener("abort", () => resolve()),
      );
      const body = method === "POST" ? ((await incoming.json()) as Record<string, unknown>) : {};
      const read = method === "POST" ? api.read(path, body) : undefined;
      if (!read) {
        const other = api.other?.(method, path);
        if (!other) problems.push(`${method} ${path}`);
        return other ?? api.failure(404, `${method} ${path}`);
      }
      const { model, stream, tools, conversation } = read;
      const request = { method, path, headers, body, model, stream, tools, conversation, disconnected };
      const call = requests.push(request) - 1;
      try {
        const turn = await script(request, call);
        if ("error" in turn) {
          const { status, message, retryAfterS } = turn.error;
          const failure = api.failure(status, message);
          if (retryAfterS !== undefined) failure.headers.set("retry-after", String(retryAfterS));
          return failure;
        }
        if ("stall" in turn) return await stall(read, Promise.race([disconnected, stopped.promise]));
        const parts = resolveParts(turn, tools);
        return stream ? events(read.streamed(parts)) : Response.json(read.whole(parts));
      } catch (error) {
        problems.push(String(error));
        return api.failure(400, String(error));
      }
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    requests: requests as readonly ModelRequest[],
    /** Unknown routes, and turns that could not be said with the offered tools. */
    problems: problems as readonly string[],
    async stop() {
      stopped.resolve();
      await server.stop(true);
    },
  };
}

async function stall({ stream, opening }: ReadRequest, end: Promise<void>): Promise<Response> {
  if (!stream) await end;
  async function* lines() {
    yield opening;
    await end;
  }
  return new Response(lines(), { headers: { "content-type": "text/event-stream" } });
}

function events(texts: Iterable<string>): Response {
  return new Response([...texts].join(""), { headers: { "content-type": "text/event-stream" } });
}
