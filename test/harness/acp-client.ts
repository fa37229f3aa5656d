/** A client of the Agent Client Protocol, independent of the service's: one JSON-RPC message a line, on stdin and stdout. */
type Json = Record<string, unknown>;

export interface AcpClientOptions {
  argv: readonly string[];
  cwd: string;
  env: Record<string, string>;
  /** Answers session/request_permission. @returns the kind of the option to choose. Default: allow_once. */
  answer?: (params: Json) => "allow_once" | "allow_always" | "reject_once";
}

/** An agent process that is spoken to. Disposing it closes its stdin and kills it if that does not end it. */
export function startAcpClient({ argv, cwd, env, answer = () => "allow_once" }: AcpClientOptions) {
  const child = Bun.spawn([...argv], { cwd, env, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const stderr = new Response(child.stderr).text();
  const waiting = new Map<number, PromiseWithResolvers<Json>>();
  const updates: Json[] = [];
  const questions: Json[] = [];
  let last = 0;

  const send = (message: Json) => {
    child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    child.stdin.flush();
  };
  const reading = read();

  async function read() {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim() !== "") take(JSON.parse(line) as Json);
    }
    const error = new Error(`The agent ended: ${(await stderr).slice(-2_000)}`);
    for (const one of waiting.values()) one.reject(error);
  }

  function take({ id, method, params, result, error }: Json) {
    if (typeof method === "string") {
      if (method === "session/update") updates.push((params as { update: Json }).update);
      else if (method === "session/request_permission") send({ id, result: permission(params as Json) });
      else if (id !== undefined) send({ id, error: { code: -32601, message: "Method not found" } });
      return;
    }
    const one = waiting.get(id as number);
    waiting.delete(id as number);
    if (error) one?.reject(new AcpError(error as { code: number; message: string }));
    else one?.resolve((result ?? {}) as Json);
  }

  function permission(params: Json) {
    questions.push(params);
    const wanted = answer(params);
    const options = params["options"] as { optionId: string; kind: string }[];
    const optionId = options.find(({ kind }) => kind === wanted)?.optionId;
    return { outcome: optionId ? { outcome: "selected", optionId } : { outcome: "cancelled" } };
  }

  return {
    pid: child.pid,
    /** What the agent said of its work, in order. */
    updates: updates as readonly Json[],
    questions: questions as readonly Json[],
    stderr,
    notify: (method: string, params: Json) => send({ method, params }),
    async request(method: string, params: Json): Promise<Json> {
      const id = ++last;
      const reply = Promise.withResolvers<Json>();
      waiting.set(id, reply);
      send({ id, method, params });
      return reply.promise;
    },
    async initialize(): Promise<Json> {
      const clientCapabilities = { fs: { readTextFile: false, writeTextFile: false }, terminal: false };
      const clientInfo = { name: "prompt-backend-tests", version: "1" };
      return this.request("initialize", { protocolVersion: 1, clientCapabilities, clientInfo });
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      const killer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await child.exited;
      clearTimeout(killer);
      await reading.catch(() => undefined);
    },
  };
}

export class AcpError extends Error {
  override readonly name = "AcpError";
  readonly code: number;

  constructor({ code, message }: { code: number; message: string }) {
    super(message);
    this.code = code;
  }
}
