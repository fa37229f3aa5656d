import type { ModelApi } from "../db/columns.ts";
import { type Agent, AgentUnavailable, type RemoteWorkplace } from "./agent.ts";
import { createClaudeReader, OF_PROJECT } from "./claude-reader.ts";
import { discardTranscripts, hasTranscript, isTranscript } from "./claude-transcripts.ts";
import { driverCommand } from "./driver-spec.ts";
import type { Program } from "./find-program.ts";
import { cutInstructions } from "./instructions.ts";
import { MODEL_API_STYLES, type ModelVariables, modelEnvironment } from "./model-apis.ts";

const ENVIRONMENT = {
  // Only the Messages API is reachable.
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  DISABLE_AUTOUPDATER: "1",
  DISABLE_TELEMETRY: "1",
  DISABLE_ERROR_REPORTING: "1",
  // Otherwise a background shell keeps the process alive long after the result.
  CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
  // The default of ten means minutes of silence before an overload or a wrong key is reported. Six (about half a minute)
  // are enough to survive a restart of the service, during which the model proxy is closed.
  CLAUDE_CODE_MAX_RETRIES: "6",
  API_TIMEOUT_MS: "600000",
  // As root it refuses --dangerously-skip-permissions unless it is told that it runs in a sandbox.
  IS_SANDBOX: "1",
};

/** Its questions come to the driver. A question with answers to choose from cannot be answered here. */
const ASKING = ["--permission-prompt-tool", "stdio", "--disallowed-tools", "AskUserQuestion"];

/**
 * Claude Code, headless, with the driver (src/driver/claude.ts). It does not read the repository's own `.claude/settings.json` and `.mcp.json`, which could run
 * programs and redirect the traffic to the model.
 * @param options.program called for each run, so that an update or a late installation needs no restart.
 * @param options.missing the sentence for the user if there is no program.
 * @param options.model default: Claude Code's own.
 * @param options.title of another program that is used like Claude Code; `args`, which stand before Claude Code's, `modelApi` and
 *   `variables` are then its own.
 */
export function createClaudeAgent(options: {
  program: () => Program | undefined;
  missing: string;
  model?: string | undefined;
  title?: string;
  args?: readonly string[];
  modelApi?: ModelApi | undefined;
  variables?: ModelVariables;
}): Agent {
  const { title = "Claude Code", args = [], modelApi = "anthropic", variables } = options;
  return {
    name: "claude",
    builtIn: false,
    modelApi,
    modes: ["auto", "ask"],
    steers: true,
    limitsTurns: true,
    replays: true,
    keeps: isTranscript,
    hasTranscript,
    discardTranscripts,
    command({ prompt, conversationId, resume, instructions, paths, model, remote, mcpServers, ...chosen }) {
      const program = options.program();
      if (!program) throw new AgentUnavailable(options.missing);
      if (!model)
        throw new AgentUnavailable(
          `${title} needs access to a model: set ${MODEL_API_STYLES[modelApi].keyName}.`,
        );
      const access = modelEnvironment(modelApi, model, variables);
      const modelName = chosen.modelName ?? options.model;
      const appended = [remote && remoteNote(remote), instructions && cutInstructions(instructions)]
        .filter(Boolean)
        .join("\n\n")
        .replaceAll("\0", "")
        .trim();
      // Not as an argument, which every user of the machine can read.
      const servers = mcpServers && {
        name: `mcp-${crypto.randomUUID()}.json`,
        text: JSON.stringify({ mcpServers: remote ? besideTools(mcpServers) : mcpServers }),
      };
      const configs = [
        ...(remote ? [remote.mcpConfig] : []),
        ...(servers ? [`${paths.state}/${servers.name}`] : []),
      ];
      const { mode = "auto", maxTurns, mailbox, images } = chosen;
      const spec = {
        ...({ protocol: "claude", prompt, images, conversationId, resume, mode, mailbox } as const),
        argv: [
          program.path,
          ...args,
          "--print",
          ...["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"],
          "--replay-user-messages",
          ...(mode === "ask" ? ASKING : ["--dangerously-skip-permissions"]),
          ...["--setting-sources", "user"],
          ...["--settings", JSON.stringify(pinned(access.baseUrl))],
          "--strict-mcp-config",
          // Its own tools would work on the wrong machine.
          ...(remote ? ["--tools", ""] : []),
          ...(configs.length > 0 ? ["--mcp-config", ...configs] : []),
          // A recorded system prompt would name the folder of an earlier sandbox and contain outdated instructions.
          ...["--system-prompt-snapshot", "off"],
          ...(modelName ? ["--model", modelName] : []),
          ...(maxTurns ? ["--max-turns", String(maxTurns)] : []),
          ...(appended ? [`--append-system-prompt=${appended}`] : []),
          resume ? "--resume" : "--session-id",
          conversationId,
        ] as const,
      };
      const env = {
        ...ENVIRONMENT,
        ...access.baseUrl,
        ...access.key,
        CLAUDE_CONFIG_DIR: paths.state,
        CLAUDE_CODE_TMPDIR: paths.tmp,
      };
      const command = driverCommand(spec, { env, readable: program.readable });
      return { ...command, ...(servers && { files: [servers] }) };
    },
    reader: createClaudeReader,
  };
}

/**
 * Settings that the agent's own cannot override. Its folder of settings is new for each run, but it may write there, and
 * a resumed agent reads it. The token is not among them: every user of the machine can read arguments.
 */
const pinned = (env: Readonly<Record<string, string>>) => ({
  env,
  disableAllHooks: true,
  apiKeyHelper: "",
});

/** Under names that are not those of the tools of the sandbox, and by which the reader tells them apart. */
const besideTools = (servers: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(servers).map(([name, server]) => [`${OF_PROJECT}${name}`, server]));

const remoteNote = ({ checkout }: RemoteWorkplace) =>
  `The repository is checked out in a sandbox, at ${checkout}. You can reach it only through the tools of the MCP servers; work there and nowhere else.`;
