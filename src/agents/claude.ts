import { constants } from "node:fs";
import { open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Agent, AgentUnavailable, type RemoteWorkplace } from "./agent.ts";
import { createClaudeReader } from "./claude-reader.ts";
import type { Program } from "./find-program.ts";

/** Linux takes one argument of at most 128 KiB; UTF-8 bytes. */
const INSTRUCTIONS_BYTES = 100 * 1024;

const ENVIRONMENT = {
  // Nothing but the Messages API is reachable or wanted.
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  DISABLE_AUTOUPDATER: "1",
  DISABLE_TELEMETRY: "1",
  DISABLE_ERROR_REPORTING: "1",
  // Else a background shell keeps the process alive long after the result.
  CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
  // Ten by default: minutes of silence before an overload or a wrong key is reported. With six (about half a minute) an
  // agent also outlasts a restart of the service, during which its way to the model is closed.
  CLAUDE_CODE_MAX_RETRIES: "6",
  API_TIMEOUT_MS: "600000",
  // It refuses --dangerously-skip-permissions as root unless told that it is contained, which it is.
  IS_SANDBOX: "1",
};

/**
 * Claude Code, headless. The repository's own `.claude/settings.json` and `.mcp.json` are not read: they can run
 * programs and redirect the model's traffic.
 * @param options.program looked up for each run, so that an update or a late installation needs no restart.
 * @param options.missing the sentence for the user where there is no program.
 * @param options.model undefined: the program's own default.
 */
export function createClaudeAgent(options: {
  program: () => Program | undefined;
  missing: string;
  model?: string | undefined;
}): Agent {
  return {
    name: "claude",
    needsModel: true,
    hasTranscript,
    command({ prompt, conversationId, resume, instructions, paths, model, remote }) {
      const program = options.program();
      if (!program) throw new AgentUnavailable(options.missing);
      if (!model) throw new AgentUnavailable("Claude Code needs access to a model: set ANTHROPIC_API_KEY.");
      const appended = argumentOf([remote && remoteWork(remote), instructions].filter(Boolean).join("\n\n"));
      return {
        argv: [
          program.path,
          "--print",
          ...["--output-format", "stream-json", "--verbose"],
          "--dangerously-skip-permissions",
          ...["--setting-sources", "user"],
          "--strict-mcp-config",
          // Whatever it did with tools of its own, it would do to the wrong machine.
          ...(remote ? ["--mcp-config", remote.mcpConfig, "--tools", ""] : []),
          // Recorded prompts would name the folder of an earlier sandbox and instructions since changed.
          ...["--system-prompt-snapshot", "off"],
          ...(options.model ? ["--model", options.model] : []),
          ...(appended ? [`--append-system-prompt=${appended}`] : []),
          resume ? "--resume" : "--session-id",
          conversationId,
        ],
        env: {
          ...ENVIRONMENT,
          ANTHROPIC_BASE_URL: model.baseUrl,
          ANTHROPIC_API_KEY: model.token,
          CLAUDE_CONFIG_DIR: paths.state,
          CLAUDE_CODE_TMPDIR: paths.tmp,
        },
        stdin: promptInput(prompt),
        readable: program.readable,
      };
    },
    reader: createClaudeReader,
  };
}

const remoteWork = ({ checkout }: RemoteWorkplace) =>
  `The repository is checked out in a sandbox, at ${checkout}. You reach it through the tools of the MCP servers alone; work there and nowhere else.`;

/** A prompt that starts with a slash would run a command of the CLI. */
function promptInput(prompt: string): string {
  return prompt.trimStart().startsWith("/") ? ` ${prompt}` : prompt;
}

/** Instructions as one argument: no NUL, and at most 100 KiB of whole characters. */
function argumentOf(text: string): string {
  const clean = text.replaceAll("\0", "").trim();
  const bytes = Buffer.from(clean);
  if (bytes.length <= INSTRUCTIONS_BYTES) return clean;
  const kept = bytes
    .subarray(0, INSTRUCTIONS_BYTES)
    .toString("utf8")
    .replace(/\uFFFD+$/, "");
  return `${kept}\n[The rest of CLAUDE.md was left out: too long.]`;
}

/**
 * Whether the conversation can be resumed. Its transcript is in a folder named after the working directory it was made
 * in, which may have been another. One that was begun and holds no message yet (the run was ended in its first moments)
 * can be neither resumed nor begun again, which would shut the session for ever: it is removed.
 */
async function hasTranscript(stateDir: string, conversationId: string): Promise<boolean> {
  const projects = join(stateDir, "projects");
  const folders = await readdir(projects, { withFileTypes: true }).catch(() => []);
  for (const folder of folders.filter((one) => one.isDirectory())) {
    const path = join(projects, folder.name, `${conversationId}.jsonl`);
    const holds = await holdsMessage(path).catch(() => undefined);
    if (holds) return true;
    if (holds === false) await rm(path, { force: true });
  }
  return false;
}

/** @throws where there is no such regular file; the agent can write there, so never through a link. */
async function holdsMessage(path: string): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw new Error("not a file");
    // As raw text: inside a JSON string these quotes would be escaped.
    for await (const line of file.readLines()) if (line.includes('"type":"user"')) return true;
    return false;
  } finally {
    await file.close();
  }
}
