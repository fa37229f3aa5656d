import { basename, join } from "node:path";
import type { DeclaredAgent } from "../config/agent-list.ts";
import { type AcpSetup, createAcpAgent } from "./acp.ts";
import type { Agent } from "./agent.ts";
import { createClaudeAgent } from "./claude.ts";
import { createCommandAgent } from "./command.ts";
import { findCommand, type Program } from "./find-program.ts";

export type { DeclaredAgent };

interface Preset {
  declared: DeclaredAgent;
  /** What to install. */
  install: string;
  setup: AcpSetup;
}

/**
 * Agents of the Agent Client Protocol that need no declaration: the versions that these settings were tried with are
 * codex-acp 2.6.0, Gemini CLI 0.61.0, opencode 1.18.33 and claude-agent-acp 0.101.0.
 */
const AGENT_PRESETS: readonly Preset[] = [
  {
    declared: {
      ...{ name: "codex", title: "Codex", command: ["codex-acp"], protocol: "acp", models: [] },
      ...{ modelApi: "openai", keyEnv: "OPENAI_API_KEY" },
    },
    install: "npm install -g @agentclientprotocol/codex-acp",
    setup: {
      // Its own sandbox needs what this one does not allow.
      modes: { auto: ["agent-full-access"], ask: ["read-only"] },
      // Its own list of models lacks what it does not know, which works all the same.
      ownModel: true,
      env: ({ paths, model, mode, modelName }) => ({
        CODEX_HOME: paths.state,
        NO_BROWSER: "1",
        INITIAL_AGENT_MODE: mode === "ask" ? "read-only" : "agent-full-access",
        MODEL_PROVIDER: "proxy",
        CODEX_CONFIG: JSON.stringify({
          model: modelName,
          model_provider: "proxy",
          model_providers: {
            proxy: {
              ...{
                name: "Model proxy",
                base_url: model?.baseUrl,
                env_key: "OPENAI_API_KEY",
                wire_api: "responses",
              },
            },
          },
        }),
      }),
    },
  },
  {
    declared: {
      ...{ name: "gemini", title: "Gemini CLI", command: ["gemini", "--acp"], protocol: "acp", models: [] },
      ...{ modelApi: "google", baseUrlEnv: "GOOGLE_GEMINI_BASE_URL", keyEnv: "GEMINI_API_KEY" },
    },
    install: "npm install -g @google/gemini-cli",
    setup: {
      modes: { auto: ["yolo"], ask: ["default"] },
      args: ({ modelName, mcpServers = {} }) => [
        ...(modelName ? ["--model", modelName] : []),
        // Otherwise it starts those of the repository's settings, too.
        ...["--allowed-mcp-server-names", Object.keys(mcpServers).join(",") || "none"],
      ],
      ownModel: true,
      conversations: "gemini",
      env: ({ paths }) => ({
        GEMINI_CLI_HOME: paths.state,
        GEMINI_CLI_TRUST_WORKSPACE: "true",
        // A child that does the work would survive the end of its parent.
        GEMINI_CLI_NO_RELAUNCH: "true",
        GEMINI_TELEMETRY_ENABLED: "false",
      }),
    },
  },
  {
    declared: {
      ...{ name: "opencode", title: "opencode", command: ["opencode", "acp"], protocol: "acp", models: [] },
      modelApi: "anthropic",
    },
    install: "npm install -g opencode-ai",
    setup: {
      ownModel: true,
      conversations: "opencode",
      // Its own copies of the checkout, its log, and packages that it can install again.
      drops:
        /^(?:data\/opencode\/(?:snapshot|log|bin|storage\/snapshot)|(?:.*\/)?(?:\.npm|node_modules))(\/|$)/,
      env: ({ model, mode, modelName = "claude-sonnet-4-5" }) => ({
        OPENCODE_DISABLE_AUTOUPDATE: "1",
        OPENCODE_DISABLE_MODELS_FETCH: "1",
        OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
        // Servers that the repository's own opencode.json would start.
        OPENCODE_DISABLE_PROJECT_CONFIG: "1",
        OPENCODE_CONFIG_CONTENT: JSON.stringify({
          ...{ model: `anthropic/${modelName}`, small_model: `anthropic/${modelName}` },
          ...{ autoupdate: false, share: "disabled", enabled_providers: ["anthropic"] },
          permission: mode === "ask" ? { edit: "ask", bash: "ask", webfetch: "ask" } : "allow",
          provider: {
            anthropic: {
              options: { baseURL: `${model?.baseUrl}/v1`, apiKey: model?.token },
              models: { [modelName]: { name: modelName } },
            },
          },
        }),
      }),
    },
  },
  {
    declared: {
      ...{
        name: "claude-acp",
        title: "Claude Code (ACP)",
        command: ["claude-agent-acp"],
        protocol: "acp",
        models: [],
      },
      ...{ modelApi: "anthropic", baseUrlEnv: "ANTHROPIC_BASE_URL", keyEnv: "ANTHROPIC_API_KEY" },
    },
    install: "npm install -g @agentclientprotocol/claude-agent-acp",
    setup: {
      modes: { auto: ["bypassPermissions"], ask: ["default"] },
      // Otherwise the repository's .claude/settings.json could redirect the model with the token, and run programs.
      meta: { claudeCode: { options: { settingSources: ["user"], strictMcpConfig: true } } },
      env: ({ paths }) => ({
        CLAUDE_CONFIG_DIR: join(paths.state, "claude"),
        CLAUDE_CODE_TMPDIR: paths.tmp,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        DISABLE_AUTOUPDATER: "1",
        CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
        CLAUDE_CODE_MAX_RETRIES: "6",
        IS_SANDBOX: "1",
      }),
    },
  },
];

/**
 * The presets and what AGENTS declares, which replaces a preset of the same name and keeps that one's settings.
 * @param options.path folders with programs, as in PATH. @returns `missing` says why its program cannot be run, if it cannot.
 */
export function declaredAgents(options: {
  declared: readonly DeclaredAgent[];
  path: string;
}): { about: DeclaredAgent; agent: Agent; missing: () => string | undefined }[] {
  const { declared, path } = options;
  const presets = AGENT_PRESETS.filter((one) => !declared.some(({ name }) => name === one.declared.name));
  return [...presets.map((one) => one.declared), ...declared].map((own) => {
    const preset = AGENT_PRESETS.find((one) => one.declared.name === own.name);
    const about = preset ? withAccess(own, preset.declared) : own;
    const program = () => findCommand(about.command, path);
    const remedy = preset ? `; run ${preset.install}` : "";
    const missing = `${about.title} is not installed: the program ${JSON.stringify(basename(about.command[0]))} is in no folder of PATH, or not executable${remedy}.`;
    const agent = agentOf(about, { program, missing, setup: preset?.setup });
    const { modes = agent.modes } = about;
    return { about, agent: { ...agent, modes }, missing: () => (program() ? undefined : missing) };
  });
}

/** An agent in place of a preset reaches its model as that does, unless it says otherwise. */
function withAccess(
  own: DeclaredAgent,
  { protocol, modelApi, baseUrlEnv, keyEnv }: DeclaredAgent,
): DeclaredAgent {
  if (own.protocol !== protocol || (own.modelApi ?? modelApi) !== modelApi) return own;
  return {
    ...(modelApi && { modelApi }),
    ...(baseUrlEnv && { baseUrlEnv }),
    ...(keyEnv && { keyEnv }),
    ...own,
  };
}

function agentOf(
  about: DeclaredAgent,
  found: { program: () => Program | undefined; missing: string; setup: AcpSetup | undefined },
): Agent {
  const { program, missing, setup } = found;
  if (about.protocol === "acp")
    return createAcpAgent({ declared: about, program, missing, ...(setup && { setup }) });
  const { name: ownName, title, modelApi, baseUrlEnv, keyEnv } = about;
  const { steering: steers, maxTurns: limitsTurns } = about;
  const access = { modelApi, variables: { baseUrlEnv, keyEnv } };
  const [, ...args] = about.command;
  if (about.protocol === "claude")
    return { ...createClaudeAgent({ program, missing, title, args, ...access }), name: ownName };
  const argv = about.command;
  const talks = { ...(steers && { steers }), ...(limitsTurns && { limitsTurns }) };
  return { ...createCommandAgent({ argv, program, missing, ...access, ...talks }), name: ownName };
}
