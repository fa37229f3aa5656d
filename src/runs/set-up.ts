import type { AgentReader } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import { redactingReader } from "../projects/redact.ts";
import type { RunProject } from "../projects/run-project.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { PrepareDeps } from "./agent-run.ts";
import { AgentKilled, SetupFailed } from "./failures.ts";
import type { RunGateway } from "./run-gateway.ts";
import { watchAgent } from "./watch-agent.ts";
import type { RunWriter } from "./writer.ts";

/** How much longer the supervisor's time limit is than the runner's, milliseconds. */
const LIMIT_MARGIN_MS = 120_000;
/** The end of its output that a failure quotes, characters. */
const QUOTED = 2_000;
const LINE_LIMIT = 64 * 1024;
/** The command is an argument of this script, never a part of it. */
const SCRIPT = 'exec 2>&1; exec /bin/sh -c "$1"';

/**
 * Runs the setup command of a project in a sandbox with a new checkout, with the environment, the network and the limits of
 * its agent. What it prints is stored as it comes, like an agent's output: an attempt that is cut short begins anew.
 * @throws SetupFailed; AgentKilled; NotIsolated; LeaseLost; what `signal` aborted with. Then nothing of it runs.
 */
export async function setUp(
  deps: PrepareDeps,
  writer: RunWriter,
  sandbox: Sandbox,
  options: { project: RunProject; gateway: RunGateway; signal: AbortSignal },
): Promise<void> {
  const { project, gateway, signal } = options;
  const { setupCommand, redactor } = project;
  if (setupCommand === "") return;
  if (sandbox.remote) {
    await writer.append([
      textEvent("The project's setup command was not run: the checkout is in a borrowed sandbox."),
    ]);
    return;
  }
  const shown = `Running the project's setup command:\n\n${setupCommand}`;
  await writer.append([textEvent(redactor?.text(shown) ?? shown)]);
  signal.throwIfAborted();
  const process = sandbox.start(
    {
      argv: ["/bin/sh", "-c", SCRIPT, "setup", setupCommand],
      env: { ...project.env, ...gateway.env },
      stdin: "",
      readable: [],
    },
    deps.limits.timeoutMs + LIMIT_MARGIN_MS,
    gateway.folder,
  );
  const began = performance.now();
  let outcome: "done" | "failed" = "failed";
  try {
    const reader = redactingReader(createOutputReader(), redactor);
    const { limits, sandboxes } = deps;
    const talk = { asks: () => false, waitedMs: 0, gateway: undefined };
    const watched = { writer, process, reader, stored: 0, limits, sandboxes, sandbox, ...talk };
    // A run that is cancelled has nothing to deliver yet.
    const cancelled = new AbortController().signal;
    const { verdict, limit, lost } = await watchAgent({ ...watched, life: signal, cancelled });
    if (limit?.name === "disk") throw new AgentKilled(limit.reason);
    if (limit) throw new SetupFailed(`In the project's setup command: ${limit.reason}`, "limit");
    if (lost) throw new AgentKilled("The project's setup command was killed during its work.");
    if (!verdict.ok)
      throw new SetupFailed(`The project's setup command failed: ${verdict.reason}`, "configuration");
    outcome = "done";
  } finally {
    deps.metrics.setUp(outcome, (performance.now() - began) / 1000);
    // What it has left in the background, too.
    await process.stop(0);
  }
}

/** A program that prints text and succeeds with exit code 0. */
function createOutputReader(): AgentReader {
  let end = "";
  return {
    read(line) {
      const text = line
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours and other orders to a terminal.
        .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "")
        .replaceAll("\0", "")
        .trimEnd()
        .slice(0, LINE_LIMIT);
      end = `${end}${text}\n`.slice(-QUOTED);
      return text.toWellFormed();
    },
    hasResult: () => false,
    identity: () => ({}),
    verdict({ code, signal }) {
      if (code === 0) return { ok: true, summary: "", usage: {} };
      const how = code === null ? `it was ended by ${signal ?? "a signal"}` : `exit code ${code}`;
      const printed = end.trim();
      const reason = printed === "" ? `${how}; it printed nothing.` : `${how}. Its last lines:\n${printed}`;
      return { ok: false, reason: reason.toWellFormed(), summary: "", usage: {} };
    },
  };
}
