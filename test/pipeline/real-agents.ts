import { dirname } from "node:path";
import { type AgentName, agentProgram } from "../harness/agent-programs.ts";
import { type Backend, type Combination, createDeployment, startBackend } from "../harness/backend.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { startScriptedGoogle } from "../harness/scripted-google.ts";
import { asMessages, type TurnRequest } from "../harness/scripted-messages.ts";
import { startScriptedModel } from "../harness/scripted-model.ts";
import { startScriptedOpenAi } from "../harness/scripted-openai.ts";
import type { ModelTurn } from "../harness/scripted-turns.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";

/**
 * The real programs of Claude Code and of the presets, through the whole service: server, runner, sandbox, driver, model
 * proxy. The models are scripted, and see what the programs send.
 */
export const RUN_MS = 150_000;
export const KEY = "the-real-key-0123456789";

export interface Trial {
  api: "openai" | "google" | "anthropic";
  /** Named in the prompt, and expected at the API. Undefined: the program's own. */
  model?: string;
  /** What its user reads of a key that the API refuses. */
  refusal: RegExp;
  install: string;
}

export type RealAgent = AgentName | "claude";

export const TRIALS: Readonly<Record<RealAgent, Trial>> = {
  claude: {
    api: "anthropic",
    refusal: /key/i,
    install: "npm install -g @anthropic-ai/claude-code",
  },
  codex: {
    api: "openai",
    model: "scripted-model",
    // It does not pass on what the API says.
    refusal: /Authentication required/,
    install: "npm install -g @agentclientprotocol/codex-acp",
  },
  gemini: {
    api: "google",
    model: "gemini-2.5-pro",
    refusal: /key/i,
    install: "npm install -g @google/gemini-cli",
  },
  opencode: {
    api: "anthropic",
    model: "scripted-model",
    refusal: /key/i,
    install: "npm install -g opencode-ai",
  },
  "claude-acp": {
    api: "anthropic",
    refusal: /key/i,
    install: "npm install -g @agentclientprotocol/claude-agent-acp",
  },
};

/** The folders of the programs that are here, for PATH. The others take the place of their tests. @param what is tested. */
export async function realPrograms(what: string): Promise<Map<RealAgent, string>> {
  const programs = new Map<RealAgent, string>();
  for (const name of Object.keys(TRIALS) as RealAgent[]) {
    const program = await binOf(name);
    if (typeof program === "string") programs.set(name, program);
    else unavailable({ name: `${what} of the real ${name}`, reason: program.missing });
  }
  return programs;
}

async function binOf(name: RealAgent): Promise<string | { missing: string }> {
  if (name === "claude") {
    const program = await claudeProgram();
    return typeof program === "string" ? dirname(program) : program;
  }
  const program = await agentProgram(name);
  return "missing" in program ? program : program.bin;
}

/** The service with these programs and models that follow a script, by what they read. Use with `await using`. */
export async function openRealAgents(options: {
  programs: ReadonlyMap<RealAgent, string>;
  combination: Combination;
  script: (request: TurnRequest, call: number) => ModelTurn;
  /** What the APIs say that an answer has. */
  outputTokens?: () => number;
  env?: Readonly<Record<string, string>>;
}) {
  const { programs, combination, outputTokens, env } = options;
  // Agents also ask for titles.
  const script = (request: TurnRequest, call: number): ModelTurn =>
    request.tools.length === 0 ? [{ text: "Scripted." }] : options.script(request, call);
  const openai = startScriptedOpenAi({ script, outputTokens });
  const google = startScriptedGoogle({ script, outputTokens });
  const anthropic = startScriptedModel({ script: asMessages(script), outputTokens });
  const models = { openai, google, anthropic };
  const deployment = await createDeployment(combination);
  const backend = await startBackend(deployment, {
    env: {
      PATH: [...programs.values(), process.env["PATH"] ?? ""].join(":"),
      ...{ OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${openai.url}/v1` },
      ...{ GEMINI_API_KEY: KEY, GEMINI_BASE_URL: google.url },
      ...{ ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: anthropic.url },
      ...env,
    },
  });
  return {
    deployment,
    backend,
    requests: (agent: RealAgent) => models[TRIALS[agent].api].requests,
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]();
      await deployment[Symbol.asyncDispose]();
      await Promise.all([openai.stop(), google.stop(), anthropic.stop()]);
    },
  };
}

export type RealAgents = Awaited<ReturnType<typeof openRealAgents>>;

/** How a prompt names this agent. */
export const choiceOf = (agent: RealAgent) => {
  const { model } = TRIALS[agent];
  return { agent, ...(model && { model }) };
};

/** Waits for the prompt's end. @returns it. */
export async function promptEnd(backend: Backend, id: string) {
  const read = async () => (await backend.request("GET", `/prompts/${id}`)).body.prompt;
  await until(async () => /Completed|Failed|Cancelled/.test((await read()).status), {
    what: "the prompt's end",
    timeoutMs: RUN_MS,
  });
  return read();
}
