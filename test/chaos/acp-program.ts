import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

/**
 * The agent of `acpAgent` (acp.ts): the little that it needs of the Agent Client Protocol, without any library, since a sandbox
 * shows it nothing but Bun. Each prompt's job is a tool call of a turn. What it was ever told is its memory, in its own folder.
 */
const [script = ""] = process.argv.slice(-1);
const folder = `${process.env["XDG_DATA_HOME"]}/chaos`;
const send = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const update = (sessionId: string, fields: object) =>
  send({ method: "session/update", params: { sessionId, update: fields } });
const history = (sessionId: string) => `${folder}/${sessionId}.txt`;

interface Request {
  id?: number | string;
  method?: string;
  params?: { sessionId?: string; prompt?: { text?: string }[] };
}

async function answer({ method, params = {} }: Request): Promise<object> {
  const sessionId = params.sessionId ?? crypto.randomUUID();
  if (method === "initialize") return { protocolVersion: 1, agentCapabilities: { loadSession: true } };
  if (method === "session/new") {
    mkdirSync(folder, { recursive: true });
    appendFileSync(history(sessionId), "");
    return { sessionId };
  }
  if (method === "session/load") {
    if (existsSync(history(sessionId))) return {};
    throw new Error("no such conversation");
  }
  if (method !== "session/prompt") throw new Error(`no method ${method}`);
  appendFileSync(history(sessionId), `${params.prompt?.map(({ text = "" }) => text).join("\n")}\n`);
  return work(sessionId);
}

async function work(sessionId: string): Promise<object> {
  const told = readFileSync(history(sessionId), "utf8");
  const jobs = [...told.matchAll(/(\w+-\d+) (\d+ [\d.]+ \w+)\nRemember word-\1\./g)];
  const [, id = "", what = ""] = jobs.at(-1) ?? [];
  const call = { toolCallId: crypto.randomUUID(), kind: "execute" };
  update(sessionId, { sessionUpdate: "tool_call", ...call, title: "Work", rawInput: { command: id } });
  const shell = Bun.spawn(["bash", "-c", script], {
    env: { ...process.env, KNOWN: jobs.map(([, one]) => one).join(",") },
    stdin: Buffer.from(`${id} ${what}\n`),
    stdout: "pipe",
    stderr: "inherit",
  });
  // Each line is a message of its own, and so an event.
  for await (const text of createInterface({ input: Readable.fromWeb(shell.stdout as never) })) {
    update(sessionId, {
      ...{ sessionUpdate: "agent_message_chunk", messageId: crypto.randomUUID() },
      content: { type: "text", text },
    });
    // Not until the pipe is closed: what a job leaves behind (mode daemon) has it open for ever, and so the turn would be.
    if (text.endsWith(" end")) break;
  }
  const code = await shell.exited;
  update(sessionId, {
    sessionUpdate: "tool_call_update",
    ...call,
    status: code === 0 ? "completed" : "failed",
  });
  if (code !== 0) throw new Error(`the job ended with ${code}`);
  return { stopReason: "end_turn" };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  // A notification; a cancelled turn ends with this process.
  if (request.id === undefined) continue;
  const { id } = request;
  void answer(request).then(
    (result) => send({ id, result }),
    (error: Error) => send({ id, error: { code: -32603, message: error.message } }),
  );
}
// The driver has closed its stdin: what it works on is nobody's any more.
process.exit(0);
