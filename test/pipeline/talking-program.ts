import { appendFileSync, existsSync } from "node:fs";
import { createInterface } from "node:readline";

/**
 * An agent of the Agent Client Protocol that takes messages into its turn (talking-crash.test.ts), without any library, since a
 * sandbox shows it nothing but Bun. What reaches it is a line of told.txt in its checkout: its branch has the truth, independent
 * of the service's records. Its prompt says what it waits for, in this order: "Ask." its user, "Wait for a word." for a message,
 * "Wait for the door." for a file of that name, while it prints numbered lines.
 */
interface Message {
  id?: number | string;
  method?: string;
  params?: { sessionId?: string; prompt?: { text?: string }[] };
  result?: { outcome?: { optionId?: string } };
}

const sessionId = "talking";
const send = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const note = (kind: string, text: string) => appendFileSync("told.txt", `${kind}: ${lastLine(text)}\n`);
/** What is before it is said of earlier prompts, or of an interruption. */
const lastLine = (text: string) => text.trim().split("\n").at(-1) ?? "";
const answered = Promise.withResolvers<void>();
const spoken = Promise.withResolvers<void>();
const textOf = ({ params }: Message) => params?.prompt?.map(({ text = "" }) => text).join(" ") ?? "";

function say(text: string): void {
  const content = { type: "text", text };
  const update = { sessionUpdate: "agent_message_chunk", messageId: crypto.randomUUID(), content };
  send({ method: "session/update", params: { sessionId, update } });
}

async function turn(text: string): Promise<object> {
  note("prompt", text);
  say("working");
  // A message is printed when the next one begins.
  say("waiting");
  if (text.includes("Ask.")) {
    const toolCall = { toolCallId: "one", kind: "execute", title: "May I?", rawInput: { command: "true" } };
    const options = [
      { optionId: "yes", name: "Yes", kind: "allow_once" },
      { optionId: "no", name: "No", kind: "reject_once" },
    ];
    send({ id: "question", method: "session/request_permission", params: { sessionId, toolCall, options } });
    await answered.promise;
  }
  if (text.includes("Wait for a word.")) await spoken.promise;
  if (text.includes("Wait for the door.")) {
    let lines = 0;
    for (; !existsSync("door"); await Bun.sleep(30)) say(`line ${++lines}`);
    say(`last line ${lines}`);
  }
  return { stopReason: "end_turn" };
}

async function reply(message: Message): Promise<object> {
  switch (message.method) {
    case "initialize":
      return {
        ...{ protocolVersion: 1, agentCapabilities: { loadSession: true } },
        _meta: { steering: { supported: true } },
      };
    case "session/new":
      return { sessionId };
    case "session/load":
      return {};
    case "_session/steering":
      note("word", textOf(message));
      spoken.resolve();
      return { outcome: "injected" };
    case "session/prompt":
      return turn(lastLine(textOf(message)));
    default:
      throw new Error(`no method ${message.method}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as Message;
  const { id } = message;
  if (message.method === undefined) {
    note("answer", message.result?.outcome?.optionId ?? "none");
    answered.resolve();
  } else if (id !== undefined)
    void reply(message).then(
      (result) => send({ id, result }),
      (error: Error) => send({ id, error: { code: -32603, message: error.message } }),
    );
}
process.exit(0);
