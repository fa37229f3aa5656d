import { createInterface } from "node:readline";

/**
 * The agent of secrets.test.ts that is talked to: it shows its secrets in each way that the Agent Client Protocol has. Without any
 * library, since a sandbox shows it nothing but Bun.
 */
const { TOKEN = "", SECOND = "" } = process.env;
const [first, second] = [TOKEN.slice(0, 12), TOKEN.slice(12)];
const sessionId = "session-1";
const send = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const update = (fields: object) => send({ method: "session/update", params: { sessionId, update: fields } });
const say = (text: string, messageId: string = crypto.randomUUID()) =>
  update({ sessionUpdate: "agent_message_chunk", messageId, content: { type: "text", text } });

const answers = new Map<string, () => void>();
async function ask(): Promise<void> {
  const toolCall = {
    toolCallId: "call-1",
    kind: "execute",
    title: `use ${TOKEN}`,
    rawInput: { command: SECOND },
  };
  update({ sessionUpdate: "tool_call", ...toolCall });
  const options = [
    { optionId: "once", name: "Once", kind: "allow_once" },
    { optionId: "no", name: "No", kind: "reject_once" },
  ];
  send({ id: "ask", method: "session/request_permission", params: { sessionId, toolCall, options } });
  await new Promise<void>((resolve) => answers.set("ask", resolve));
  const content = [{ type: "content", content: { type: "text", text: `result ${TOKEN} ${SECOND}` } }];
  update({ sessionUpdate: "tool_call_update", toolCallId: "call-1", status: "completed", content });
}

let turn = 0;
async function answer(method: string): Promise<object> {
  if (method === "initialize") return { protocolVersion: 1, agentCapabilities: {} };
  if (method === "session/new") return { sessionId };
  if (method !== "session/prompt") throw new Error(`no method ${method} with ${TOKEN}`);
  turn += 1;
  if (turn > 1) {
    // An adopted agent that fails is started again.
    say(`you said so: ${TOKEN}`);
    return { stopReason: "end_turn" };
  }
  process.stderr.write(`on stderr ${TOKEN}\n`);
  say(`one chunk ${first}`, "one");
  say(second, "one");
  say(`two messages ${first}`);
  say(second);
  await ask();
  return { stopReason: "end_turn" };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method } = JSON.parse(line) as { id?: string; method?: string };
  if (id !== undefined && method === undefined) answers.get(id)?.();
  if (id === undefined || method === undefined) continue;
  void answer(method).then(
    (result) => send({ id, result }),
    (error: Error) => send({ id, error: { code: -32603, message: error.message } }),
  );
}
process.exit(0);
