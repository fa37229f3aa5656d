import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

/**
 * The agent of `acpAgent` (acp.ts): the little that it needs of the Agent Client Protocol, without any library, since a sandbox
 * shows it nothing but Bun. Each prompt's job is a tool call of a turn, for which it asks. What it was ever told is its memory,
 * in its own folder. It reports each note and each answer that reaches it to the trace server before it goes on.
 */
const [gateway = "", reports = "", script = ""] = process.argv.slice(-3);
const folder = `${process.env["XDG_DATA_HOME"]}/chaos`;
const life = `${Date.now()}${process.pid}`;
const send = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const update = (sessionId: string, fields: object) =>
  send({ method: "session/update", params: { sessionId, update: fields } });
const say = (sessionId: string, text: string) =>
  update(sessionId, {
    ...{ sessionUpdate: "agent_message_chunk", messageId: crypto.randomUUID() },
    content: { type: "text", text },
  });
const history = (sessionId: string) => `${folder}/${sessionId}.txt`;

interface Message {
  id?: number | string;
  method?: string;
  params?: { sessionId?: string; prompt?: { text?: string }[] };
  result?: { outcome?: { optionId?: string } };
}

/** Whether a turn takes notes, and those that it has taken and not yet reported. */
let open = false;
let taking: Promise<void>[] = [];
const questions = new Map<string, (decision: string) => void>();

async function answer({ method, params = {} }: Message): Promise<object> {
  const sessionId = params.sessionId ?? crypto.randomUUID();
  const text = params.prompt?.map((block) => block.text ?? "").join("\n") ?? "";
  switch (method) {
    case "initialize":
      return {
        ...{ protocolVersion: 1, agentCapabilities: { loadSession: true } },
        _meta: { steering: { supported: true } },
      };
    case "session/new":
      mkdirSync(folder, { recursive: true });
      appendFileSync(history(sessionId), "");
      return { sessionId };
    case "session/load":
      if (existsSync(history(sessionId))) return {};
      throw new Error("no such conversation");
    case "_session/steering": {
      // Sometimes it does not want to: then it is told in a turn of its own.
      if (!open || Math.random() < 0.25) return { outcome: "promptRequired" };
      appendFileSync(history(sessionId), `${text}\n`);
      const taken = note(text);
      taking.push(taken);
      await taken;
      return { outcome: "injected" };
    }
    case "session/prompt":
      return turn(sessionId, text);
    default:
      throw new Error(`no method ${method}`);
  }
}

async function turn(sessionId: string, text: string): Promise<object> {
  open = true;
  say(sessionId, `life ${life}`);
  // What is before that is told of earlier prompts.
  const task = text.split("The present task:\n\n").at(-1) ?? "";
  taking = [remember(sessionId), note(task)];
  appendFileSync(history(sessionId), `${text}\n`);
  const finish = async () => {
    open = false;
    await Promise.all(taking);
  };
  try {
    const [, id, what = ""] = jobsIn(task).at(-1) ?? [];
    if (id !== undefined) await work(sessionId, id, what);
  } finally {
    await finish();
  }
  return { stopReason: "end_turn" };
}

const notesIn = (text: string) => [...text.matchAll(/^Note (\w+-\d+)\.$/gm)].map(([, id = ""]) => id);
const jobsIn = (text: string) => [...text.matchAll(/(\w+-\d+) (\d+ [\d.]+ \w+)\nRemember word-\1\./g)];

/** An agent that goes on after an interruption is not told again what the killed one had heard. */
async function remember(sessionId: string): Promise<void> {
  const known = notesIn(readFileSync(history(sessionId), "utf8"));
  if (known.length > 0) await report("knew", known.join());
}

async function note(text: string): Promise<void> {
  for (const id of notesIn(text)) await report("told", id);
}

/** Until it gets through: the way is closed while no runner watches. A receipt counts once. */
async function report(kind: string, id: string, decision = ""): Promise<void> {
  const path = `${reports}/${kind}/${id}/${life}/${crypto.randomUUID()}/${decision}`;
  // Not fetch, which goes past a proxy where NO_PROXY has the host.
  const sent = () =>
    new Promise<boolean>((resolve) => {
      const asking = request(gateway, { path, timeout: 5_000 }, (reply) => {
        reply.resume();
        resolve(reply.statusCode === 200);
      });
      asking.on("timeout", () => asking.destroy());
      asking.on("error", () => resolve(false));
      asking.on("close", () => resolve(false));
      asking.end();
    });
  while (!(await sent())) await Bun.sleep(200);
}

async function work(sessionId: string, id: string, what: string): Promise<void> {
  const call = { toolCallId: crypto.randomUUID(), kind: "execute" };
  const question = `${id}.${life}.${call.toolCallId}`;
  const toolCall = { ...call, title: "Work", rawInput: { command: question } };
  update(sessionId, { sessionUpdate: "tool_call", ...toolCall });
  const options = ["allow", "deny"].map((optionId) => ({
    ...{ optionId, name: optionId },
    kind: optionId === "allow" ? "allow_once" : "reject_once",
  }));
  const answered = new Promise<string>((resolve) => questions.set(question, resolve));
  send({ id: question, method: "session/request_permission", params: { sessionId, toolCall, options } });
  const decision = await answered;
  await report("answered", question, decision);
  const code = decision === "allow" ? await run(sessionId, id, what) : Number(what.endsWith(" fail"));
  const status = code === 0 ? "completed" : "failed";
  update(sessionId, { sessionUpdate: "tool_call_update", ...call, status });
  if (code !== 0) throw new Error(`the job ended with ${code}`);
}

async function run(sessionId: string, id: string, what: string): Promise<number> {
  const told = jobsIn(readFileSync(history(sessionId), "utf8"));
  const shell = Bun.spawn(["bash", "-c", script], {
    env: { ...process.env, LIFE: life, KNOWN: told.map(([, one]) => one).join(",") },
    stdin: Buffer.from(`${id} ${what}\n`),
    stdout: "pipe",
    stderr: "inherit",
  });
  // Each line is a message of its own, and so an event.
  for await (const text of createInterface({ input: Readable.fromWeb(shell.stdout as never) })) {
    say(sessionId, text);
    // Not until the pipe is closed: what a job leaves behind (mode daemon) has it open for ever, and so the turn would be.
    if (text.endsWith(" end")) break;
  }
  return shell.exited;
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as Message;
  const { id, method } = message;
  // A notification; a cancelled turn ends with this process.
  if (id === undefined) continue;
  if (method === undefined) {
    questions.get(`${id}`)?.(message.result?.outcome?.optionId ?? "cancelled");
    continue;
  }
  void answer(message).then(
    (result) => send({ id, result }),
    (error: Error) => send({ id, error: { code: -32603, message: error.message } }),
  );
}
// The driver has closed its stdin: what it works on is nobody's any more.
process.exit(0);
