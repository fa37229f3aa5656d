import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AcpClientOptions, startAcpClient } from "./acp-client.ts";
import { type AgentName, agentProgram } from "./agent-programs.ts";
import { makeRepository, type TestRepository } from "./repository.ts";
import { startScriptedGoogle } from "./scripted-google.ts";
import { asMessages } from "./scripted-messages.ts";
import { startScriptedModel } from "./scripted-model.ts";
import { startScriptedOpenAi } from "./scripted-openai.ts";
import { type ModelRequest, type TurnScript, turnsInOrder } from "./scripted-turns.ts";
import { unavailable } from "./services.ts";
import { START_TIMEOUT_MS } from "./timeouts.ts";

setDefaultTimeout(START_TIMEOUT_MS);

const TOKEN = "token-of-this-run";
const COMMAND =
  "echo edited >> a.txt && git -c user.name=A -c user.email=a@b.c commit -qam Edited && git rev-parse HEAD";

interface Trial {
  args?: readonly string[];
  model: (script: TurnScript) => { url: string; requests: readonly { headers: Headers; body: unknown }[] } & {
    stop(): Promise<void>;
  };
  /** The header that carries the token. */
  token: (headers: Headers) => string | null;
  env: (home: string, url: string) => Record<string, string>;
  /** The mode in which the agent asks for nothing, where it is not in its environment. */
  mode?: string;
  /** What the agent says of a refused token. */
  refusal: RegExp;
}

const TRIALS: Readonly<Record<AgentName, Trial>> = {
  codex: {
    model: (script) => startScriptedOpenAi({ script }),
    token: (headers) => headers.get("authorization"),
    env: (home, url) => ({
      CODEX_HOME: home,
      NO_BROWSER: "1",
      INITIAL_AGENT_MODE: "agent-full-access",
      OPENAI_API_KEY: TOKEN,
      MODEL_PROVIDER: "proxy",
      CODEX_CONFIG: JSON.stringify({
        model_provider: "proxy",
        model_providers: {
          proxy: {
            name: "Model proxy",
            base_url: `${url}/v1`,
            env_key: "OPENAI_API_KEY",
            wire_api: "responses",
          },
        },
      }),
    }),
    refusal: /Authentication required/,
  },
  gemini: {
    args: ["--acp", "--model", "gemini-2.5-pro"],
    model: (script) => startScriptedGoogle({ script }),
    token: (headers) => headers.get("x-goog-api-key"),
    env: (home, url) => ({
      GEMINI_CLI_HOME: home,
      GEMINI_CLI_TRUST_WORKSPACE: "true",
      GEMINI_CLI_NO_RELAUNCH: "true",
      GEMINI_TELEMETRY_ENABLED: "false",
      GOOGLE_GEMINI_BASE_URL: url,
      GEMINI_API_KEY: TOKEN,
    }),
    mode: "yolo",
    refusal: /no such token/,
  },
  opencode: {
    args: ["acp"],
    model: (script) =>
      startScriptedModel({ script: asMessages((request, call) => script(request as ModelRequest, call)) }),
    token: (headers) => headers.get("x-api-key"),
    env: (home, url) => ({
      XDG_CONFIG_HOME: join(home, "config"),
      XDG_DATA_HOME: join(home, "data"),
      XDG_STATE_HOME: join(home, "state"),
      XDG_CACHE_HOME: join(home, "cache"),
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
      OPENCODE_CONFIG_CONTENT: JSON.stringify({
        model: "anthropic/claude-sonnet-4-5",
        permission: "allow",
        provider: { anthropic: { options: { baseURL: `${url}/v1`, apiKey: TOKEN } } },
      }),
    }),
    refusal: /no such token/,
  },
  "claude-acp": {
    model: (script) =>
      startScriptedModel({ script: asMessages((request, call) => script(request as ModelRequest, call)) }),
    token: (headers) => headers.get("x-api-key"),
    env: (home, url) => ({
      CLAUDE_CONFIG_DIR: home,
      CLAUDE_CODE_TMPDIR: home,
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_API_KEY: TOKEN,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
      CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
      CLAUDE_CODE_MAX_RETRIES: "1",
      IS_SANDBOX: "1",
    }),
    mode: "bypassPermissions",
    refusal: /Authentication required/,
  },
};

for (const name of Object.keys(TRIALS) as AgentName[]) {
  const program = await agentProgram(name);
  if ("missing" in program) unavailable({ name: `the real ${name}`, reason: program.missing });
  else describe(`the real ${name}`, () => tests(TRIALS[name], program.path));
}

function tests(trial: Trial, path: string) {
  let root = "";
  let repository: TestRepository;
  let sessionId = "";
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "agent-"));
    repository = await makeRepository({ files: { "a.txt": "hello\n" } });
  });
  afterAll(async () => {
    await repository.remove();
    await rm(root, { recursive: true, force: true });
  });

  async function open(url: string, home = join(root, "home"), answer?: AcpClientOptions["answer"]) {
    await mkdir(home, { recursive: true });
    const env = {
      ...{ PATH: "/usr/local/bin:/usr/bin:/bin", HOME: home, LANG: "C.UTF-8", TMPDIR: home },
      ...trial.env(home, url),
    };
    const argv = [path, ...(trial.args ?? [])];
    const client = startAcpClient({ argv, cwd: repository.path, env, ...(answer && { answer }) });
    await client.initialize();
    const where = { cwd: repository.path, mcpServers: [] };
    return {
      client,
      begin: async () => String((await client.request("session/new", where))["sessionId"]),
      load: (id: string) => client.request("session/load", { ...where, sessionId: id }),
      async ask(id: string, text: string) {
        if (trial.mode) await client.request("session/set_mode", { sessionId: id, modeId: trial.mode });
        return client.request("session/prompt", { sessionId: id, prompt: [{ type: "text", text }] });
      },
    };
  }

  test("edits a file with the scripted model, with the token of its environment", async () => {
    const model = trial.model(
      turnsInOrder([{ text: "I edit." }, { shell: COMMAND }], [{ text: "Finished." }]),
    );
    const { client, begin, ask } = await open(model.url);
    sessionId = await begin();
    expect(await ask(sessionId, "The word is zebra.")).toMatchObject({ stopReason: "end_turn" });
    await client[Symbol.asyncDispose]();
    expect(await repository.git("log", "--format=%s")).toBe("Edited\nBegin\n");
    expect(JSON.stringify(client.updates)).toContain("Finished.");
    expect(
      new Set(model.requests.map(({ headers }) => trial.token(headers)?.replace("Bearer ", ""))),
    ).toEqual(new Set([TOKEN]));
    await model.stop();
  });

  test("remembers the conversation in a new process", async () => {
    const model = trial.model(turnsInOrder([{ text: "Zebra." }]));
    await keepConversations(join(root, "home"));
    const { client, load, ask } = await open(model.url);
    await load(sessionId);
    await ask(sessionId, "Which word?");
    await client[Symbol.asyncDispose]();
    // Some ask for a title as well, without the conversation: before that, or after it.
    const asked = model.requests
      .map(({ body }) => JSON.stringify(body))
      .filter((body) => body.includes("Which word?"));
    expect(asked.join("\n")).toContain("The word is zebra.");
    await model.stop();
  });

  test("says that the model refuses its token", async () => {
    const model = trial.model(() => ({ error: { status: 401, message: "no such token" } }));
    const { client, begin, ask } = await open(model.url, join(root, "other"));
    const failed = await ask(await begin(), "Hello.").catch((error: unknown) => error);
    await client[Symbol.asyncDispose]();
    expect(String(failed)).toMatch(trial.refusal);
    await model.stop();
  });
}

/**
 * Gemini CLI 0.61.0 names a conversation's file by the minute of its start and its id, and a process that loads it in the same
 * minute empties that file first. See docs/AGENTS.md.
 */
async function keepConversations(home: string) {
  const files = new Bun.Glob(".gemini/tmp/*/chats/session-*.jsonl").scan({ cwd: home, dot: true });
  for (const file of await Array.fromAsync(files))
    await rename(join(home, file), join(home, file.replace(/session-.*-/, "session-2000-01-01T00-00-")));
}
