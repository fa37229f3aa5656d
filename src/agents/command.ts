import type { ModelApi } from "../db/columns.ts";
import type { JsonObject } from "../shared/json.ts";
import { type Agent, type AgentIdentity, type AgentReader, AgentUnavailable } from "./agent.ts";
import { textIn } from "./claude-reader.ts";
import { createUuids, cut, identityIn, isRenderable, parseObject, storable } from "./events.ts";
import type { Program } from "./find-program.ts";
import { cutInstructions } from "./instructions.ts";
import { type ModelVariables, modelEnvironment } from "./model-apis.ts";
import { failureOf, failureOfExit, plain, summaryOf, usageOf } from "./verdict.ts";

/** The project's MCP servers, which contain secrets. */
const OWN_FILE = /^mcp-[\da-f-]{36}\.json$/;
/** Longest text of one line, characters. */
const LINE_LIMIT = 64 * 1024;

/**
 * Any program that reads the prompt from stdin, works in its working directory, and prints text or Claude Code's
 * stream-json. Files in AGENT_STATE_DIR (up to 64 MiB) are kept between the prompts of a session, which share one
 * AGENT_CONVERSATION_ID. In a borrowed sandbox the program reaches the checkout, AGENT_REMOTE_CHECKOUT, through the MCP
 * servers of the file AGENT_MCP_CONFIG. If the service has a key, the program reaches the model at ANTHROPIC_BASE_URL (or
 * OPENAI_BASE_URL, or GEMINI_BASE_URL) with a token of its run.
 * AGENT_INSTRUCTIONS is what the project and the repository's CLAUDE.md tell agents; AGENT_PROJECT_MCP_CONFIG a file with the
 * project's MCP servers, as Claude Code's `--mcp-config` has it.
 * AGENT_MODEL and AGENT_MAX_TURNS are what its user has chosen, if anything: the latter only if the program keeps to it.
 * @param options.argv program and arguments.
 * @param options.program called for each run. @param options.missing the sentence for the user if there is no program.
 * @param options.modelApi of the model that it gets access to; undefined: none.
 * @param options.variables the names of that access, where they are not the usual ones.
 * @param options.steers whether it asks its user, and takes what that says: it prints the lines of talk.ts, and reads the
 *   files of the folder AGENT_MAILBOX.
 * @param options.limitsTurns whether it keeps to AGENT_MAX_TURNS.
 */
export function createCommandAgent(options: {
  argv: readonly [string, ...string[]];
  program: () => Program | undefined;
  missing: string;
  modelApi: ModelApi | undefined;
  variables?: ModelVariables;
  steers?: boolean;
  limitsTurns?: boolean;
}): Agent {
  const [, ...args] = options.argv;
  return {
    name: "command",
    builtIn: false,
    modelApi: options.modelApi,
    modes: ["auto"],
    steers: options.steers ?? false,
    limitsTurns: options.limitsTurns ?? false,
    replays: false,
    keeps: (path) => !OWN_FILE.test(path),
    hasTranscript: async () => false,
    discardTranscripts: async () => undefined,
    command({ prompt, conversationId, paths, model, remote, mailbox, modelName, maxTurns, ...project }) {
      const program = options.program();
      if (!program) throw new AgentUnavailable(options.missing);
      const { instructions, mcpServers } = project;
      const servers = mcpServers && {
        name: `mcp-${crypto.randomUUID()}.json`,
        text: JSON.stringify({ mcpServers }),
      };
      const access =
        model && options.modelApi && modelEnvironment(options.modelApi, model, options.variables);
      return {
        argv: [program.path, ...args],
        env: {
          AGENT_CONVERSATION_ID: conversationId,
          AGENT_STATE_DIR: paths.state,
          ...(modelName && { AGENT_MODEL: modelName }),
          ...(maxTurns && { AGENT_MAX_TURNS: String(maxTurns) }),
          ...(mailbox !== undefined && { AGENT_MAILBOX: mailbox }),
          ...(instructions && { AGENT_INSTRUCTIONS: cutInstructions(instructions).replaceAll("\0", "") }),
          ...(servers && { AGENT_PROJECT_MCP_CONFIG: `${paths.state}/${servers.name}` }),
          ...(remote && { AGENT_MCP_CONFIG: remote.mcpConfig, AGENT_REMOTE_CHECKOUT: remote.checkout }),
          ...access?.baseUrl,
          ...access?.key,
        },
        stdin: prompt,
        readable: program.readable,
        ...(servers && { files: [servers] }),
      };
    },
    reader: createCommandReader,
  };
}

/**
 * Stores events that the web UI can render as they are, and all other lines as an assistant's text. A run has succeeded
 * with exit code 0 and no result line that reports an error.
 */
function createCommandReader(): AgentReader {
  const withUuid = createUuids();
  let result: JsonObject | undefined;
  let lastText = "";
  let printed = "";
  let identity: AgentIdentity = {};

  return {
    read(line) {
      const parsed = parseObject(line);
      if (parsed && isRenderable(parsed)) {
        if (parsed.type === "result") result = parsed;
        identity = { ...identity, ...identityIn(parsed) };
        if (parsed.type === "assistant") lastText = textIn(parsed) || lastText;
        return withUuid(storable(parsed, line.length));
      }
      const text = cut(plain(line).trimEnd(), LINE_LIMIT);
      if (text !== "") printed += `${text}\n`;
      // The summary needs only its end.
      if (printed.length > 4 * LINE_LIMIT) printed = printed.slice(-LINE_LIMIT);
      return text;
    },
    hasResult: () => result !== undefined,
    identity: () => identity,
    verdict(exit) {
      const usage = usageOf(result);
      const own = lastText ? summaryOf(lastText) : summaryOf(printed, "end");
      const resultText = typeof result?.["result"] === "string" ? summaryOf(result["result"]) : own;
      const failure = result && result["is_error"] !== undefined ? failureOf(result) : undefined;
      const reason = failure ?? failureOfExit(exit);
      if (reason === undefined) return { ok: true, summary: resultText, usage };
      // What it does is its own affair: if the model's API has not answered its last request, that is taken for the reason.
      return { ok: false, reason, summary: failure ? own : resultText, usage, modelFailed: true };
    },
  };
}
