/**
 * An agent of any protocol that AGENTS may declare, as small as it can be: for each prompt it asks the API of its model
 * once, and says what that answers. It imports nothing, because it runs in a sandbox.
 */
const APIS: Readonly<Record<string, { path: string; key: string; prefix: string }>> = {
  anthropic: { path: "/v1/messages", key: "x-api-key", prefix: "" },
  openai: { path: "/chat/completions", key: "authorization", prefix: "Bearer " },
  google: { path: "/v1beta/models/gemini:generateContent", key: "x-goog-api-key", prefix: "" },
};

/** What it costs must be known before it is asked; Google's API has the model in its path. */
const bodyFor = (api: string) =>
  JSON.stringify({ ...(api !== "google" && { model: "some-model" }), max_tokens: 1, user: "declared" });

async function ask([api = "", baseUrlEnv = "", keyEnv = ""]: readonly string[]): Promise<string> {
  const { path, key, prefix } = APIS[api] ?? { path: "", key: "", prefix: "" };
  const token = process.env[keyEnv] ?? "";
  const headers = { [key]: `${prefix}${token}` };
  const reply = await fetch(`${process.env[baseUrlEnv]}${path}`, {
    method: "POST",
    headers,
    body: bodyFor(api),
  });
  const secrets = Object.values(process.env).filter((value) => value?.includes("real-key"));
  return `${reply.status} ${await reply.text()}; ${token.slice(0, 4)}; ${secrets.length} real keys`;
}

const print = (value: unknown) => console.log(typeof value === "string" ? value : JSON.stringify(value));

type Call = { id?: number; method?: string; type?: string };

async function claude(call: Call, access: readonly string[]): Promise<void> {
  if (call.type !== "user") return;
  const result = await ask(access);
  print({ type: "result", subtype: "success", is_error: false, num_turns: 1, result });
}

async function acp({ id, method }: Call, access: readonly string[]): Promise<void> {
  const reply = (result: object) => print({ jsonrpc: "2.0", id, result });
  if (method === "initialize") reply({ protocolVersion: 1, agentCapabilities: {} });
  if (method === "session/new") reply({ sessionId: "s" });
  if (method !== "session/prompt") return;
  const content = { type: "text", text: await ask(access) };
  const update = { sessionUpdate: "agent_message_chunk", content };
  print({ jsonrpc: "2.0", method: "session/update", params: { sessionId: "s", update } });
  reply({ stopReason: "end_turn" });
}

if (import.meta.main) {
  const [protocol, ...access] = process.argv.slice(2);
  // The rest are Claude Code's own arguments.
  if (protocol === "lines") print(await ask(access));
  else
    for await (const line of console)
      if (line !== "") await (protocol === "acp" ? acp : claude)(JSON.parse(line) as Call, access);
}
