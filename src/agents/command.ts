import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type Agent, type AgentReader, AgentUnavailable } from "./agent.ts";
import { textIn } from "./claude-reader.ts";
import {
  createUuids,
  cut,
  isRenderable,
  type JsonObject,
  parseObject,
  storable,
  textEvent,
} from "./events.ts";
import type { Program } from "./find-program.ts";
import { failureOf, failureOfExit, plain, summaryOf, usageOf } from "./verdict.ts";

const LINE_LIMIT = 64 * 1024;

/**
 * Any program that reads the prompt on stdin, works in its working directory, and prints text or Claude Code's
 * stream-json. It keeps what it wants to remember in AGENT_STATE_DIR; AGENT_CONVERSATION_ID is the same for every
 * prompt of a session. In a borrowed sandbox it reaches the checkout, AGENT_REMOTE_CHECKOUT, through the MCP servers of
 * the file AGENT_MCP_CONFIG. With a key it reaches the model through ANTHROPIC_BASE_URL and a token of its run.
 * @param options.argv program and arguments; the program is looked up for each run.
 * @param options.needsModel whether there is a model to give it access to.
 */
export function createCommandAgent(options: {
  argv: readonly [string, ...string[]];
  program: () => Program | undefined;
  missing: string;
  needsModel: boolean;
}): Agent {
  const [, ...args] = options.argv;
  return {
    name: "command",
    needsModel: options.needsModel,
    hasTranscript: async () => false,
    discardUnusableTranscripts: async () => undefined,
    command({ prompt, conversationId, paths, model, remote }) {
      const program = options.program();
      if (!program) throw new AgentUnavailable(options.missing);
      return {
        argv: [program.path, ...args],
        env: {
          AGENT_CONVERSATION_ID: conversationId,
          AGENT_STATE_DIR: paths.state,
          ...(remote && { AGENT_MCP_CONFIG: remote.mcpConfig, AGENT_REMOTE_CHECKOUT: remote.checkout }),
          ...(model && { ANTHROPIC_BASE_URL: model.baseUrl, ANTHROPIC_API_KEY: model.token }),
        },
        stdin: prompt,
        // An interpreter's script is named by an argument.
        readable: [...program.readable, ...args.filter((one) => isAbsolute(one) && existsSync(one))],
      };
    },
    reader: createCommandReader,
  };
}

/**
 * Events that the web UI can render pass through; every other line becomes an assistant's text. Success is exit code 0
 * and no result line that says otherwise.
 */
export function createCommandReader(): AgentReader {
  const withUuid = createUuids();
  let result: JsonObject | undefined;
  let lastText = "";
  let printed = "";

  return {
    read(line) {
      const parsed = parseObject(line);
      if (parsed && isRenderable(parsed)) {
        if (parsed.type === "result") result = parsed;
        if (parsed.type === "assistant") lastText = textIn(parsed) || lastText;
        return withUuid(storable(parsed, line.length));
      }
      const text = cut(plain(line).trimEnd(), LINE_LIMIT);
      if (text === "") return undefined;
      printed += `${text}\n`;
      // Only its end can get into the summary.
      if (printed.length > 4 * LINE_LIMIT) printed = printed.slice(-LINE_LIMIT);
      return withUuid(textEvent(text));
    },
    hasResult: () => result !== undefined,
    conclude(exit) {
      const usage = usageOf(result);
      const own = lastText ? summaryOf(lastText) : summaryOf(printed, "end");
      const said = typeof result?.["result"] === "string" ? summaryOf(result["result"]) : own;
      const failure = result && result["is_error"] !== undefined ? failureOf(result) : undefined;
      const reason = failure ?? failureOfExit(exit);
      if (reason === undefined) return { ok: true, summary: said, usage };
      return { ok: false, reason, summary: failure ? own : said, usage };
    },
  };
}
