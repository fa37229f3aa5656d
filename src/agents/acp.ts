import { rm } from "node:fs/promises";
import { join } from "node:path";
import { readUntrusted } from "../shared/untrusted-file.ts";
import { type Agent, type AgentReader, type AgentRequest, AgentUnavailable } from "./agent.ts";
import { createClaudeReader } from "./claude-reader.ts";
import type { DeclaredAgent } from "./declared.ts";
import { type AcpSpec, driverCommand, resumableSession } from "./driver-spec.ts";
import type { Program } from "./find-program.ts";
import { cutInstructions } from "./instructions.ts";
import { MODEL_API_STYLES, modelEnvironment } from "./model-apis.ts";

const SESSION_FILE_BYTES = 16 * 1024;

/** What an agent needs beside its declaration. */
export interface AcpSetup {
  /** Its variables, so that its own files are in the state directory and its model is reached by the proxy. */
  env?: (request: AgentRequest) => Readonly<Record<string, string>>;
  /** Arguments for one run, after those of its command. */
  args?: (request: AgentRequest) => readonly string[];
  /** Its model is among its variables or arguments. */
  ownModel?: true;
  meta?: AcpSpec["meta"];
  modes?: AcpSpec["modes"];
  conversations?: AcpSpec["conversations"];
  /** Files of the state directory that must not be kept for the next prompt, by their path. */
  drops?: RegExp;
}

/** Settings that could run programs or redirect the model. Nothing of that kind is kept, whatever the agent is. */
const SETTINGS = /(^|\/)(config|settings|opencode|auth|hooks|credentials)[^/]*\.(jsonc?|toml|ya?ml|env)$/i;

/**
 * An agent of the Agent Client Protocol, with the driver (src/driver/acp.ts). Its folder of state is kept between the prompts
 * of a session, without settings, and with it the agent's own id of the conversation.
 * @param options.program called for each run. @param options.missing the sentence for the user if there is no program.
 */
export function createAcpAgent(options: {
  declared: DeclaredAgent;
  program: () => Program | undefined;
  missing: string;
  setup?: AcpSetup;
}): Agent {
  const { declared, program, missing, setup = {} } = options;
  const [, ...args] = declared.command;
  return {
    name: declared.name,
    builtIn: false,
    modelApi: declared.modelApi,
    modes: ["auto", "ask"],
    steers: true,
    onlyLocal: true,
    limitsTurns: true,
    replays: true,
    keeps: (path, isFolder) => !setup.drops?.test(path) && (isFolder || !SETTINGS.test(path)),
    hasTranscript: async (stateDir, conversationId) => {
      const bytes = await readUntrusted(sessionFile(stateDir, conversationId), SESSION_FILE_BYTES);
      return bytes !== undefined && resumableSession(bytes.toString("utf8")) !== undefined;
    },
    discardTranscripts: async (stateDir, conversationId, which) => {
      if (which === "all") await rm(sessionFile(stateDir, conversationId), { force: true });
    },
    command(request) {
      const found = program();
      if (!found) throw new AgentUnavailable(missing);
      const {
        prompt,
        images,
        conversationId,
        resume,
        mode = "auto",
        mailbox,
        maxTurns,
        paths,
        model,
      } = request;
      if (declared.modelApi && !model)
        throw new AgentUnavailable(
          `${declared.title} needs access to a model: set ${MODEL_API_STYLES[declared.modelApi].keyName}.`,
        );
      const { instructions, modelName, mcpServers } = request;
      return driverCommand(
        {
          ...{ protocol: "acp", prompt, images, conversationId, resume, mode, mailbox, maxTurns },
          argv: [found.path, ...args, ...(setup.args?.(request) ?? [])],
          acp: {
            checkout: paths.checkout,
            sessionFile: sessionFile(paths.state, conversationId),
            instructions:
              instructions &&
              `The repository's instructions (CLAUDE.md):\n\n${cutInstructions(instructions)}`,
            ...{
              model: setup.ownModel ? undefined : modelName,
              mcpServers,
              meta: setup.meta,
              modes: setup.modes,
              conversations: setup.conversations,
            },
          },
        },
        {
          env: { ...ownFolders(request), ...access(declared, request, setup), ...setup.env?.(request) },
          readable: found.readable,
        },
      );
    },
    reader: createAcpReader,
  };
}

const sessionFile = (stateDir: string, conversationId: string) =>
  join(stateDir, "acp", `${conversationId}.json`);

/** Where programs keep their own files, if they follow the usual variables. */
const ownFolders = ({ paths: { state, tmp } }: AgentRequest) => ({
  XDG_CONFIG_HOME: join(state, "config"),
  XDG_DATA_HOME: join(state, "data"),
  XDG_STATE_HOME: join(state, "state"),
  XDG_CACHE_HOME: join(tmp, "cache"),
});

function access(
  { modelApi, baseUrlEnv, keyEnv }: DeclaredAgent,
  { model }: AgentRequest,
  { ownModel }: AcpSetup,
): Record<string, string> {
  if (!model || !modelApi) return {};
  const { baseUrl, key } = modelEnvironment(modelApi, model, { baseUrlEnv, keyEnv });
  // What a preset says by itself stands in the way of a second place.
  return { ...((baseUrlEnv || !ownModel) && baseUrl), ...((keyEnv || !ownModel) && key) };
}

/** The protocol does not say whether an error is the model's: the proxy knows. */
function createAcpReader(): AgentReader {
  const reader = createClaudeReader();
  return {
    ...reader,
    verdict(exit) {
      const verdict = reader.verdict(exit);
      return verdict.ok ? verdict : { ...verdict, modelFailed: true };
    },
  };
}
