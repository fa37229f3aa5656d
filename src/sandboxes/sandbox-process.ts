import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentCommand, AgentExit, SandboxPaths } from "../agents/agent.ts";
import { messageOf } from "../errors.ts";
import { type Bubblewrap, INSIDE, wrap } from "./bubblewrap.ts";
import { linesOf, tailOf } from "./lines.ts";
import { agentOf, endMarked, endNamespace, MARKER, PROCESS_MARKER, signal } from "./processes.ts";
import type { SandboxProcess } from "./sandbox.ts";

const POLL_MS = 10;
const INFO_FD = 3;

/**
 * Starts a program in a sandbox: under bubblewrap, or bare in a session of its own. Its environment is made from
 * scratch and handed over as environment, not as arguments, which everybody can read.
 * @param options.folder the sandbox's own folder, which the agent does not see.
 * @param options.output a file of the host that gets stdout instead of `lines`.
 */
export function startProcess(options: {
  id: string;
  folder: string;
  bubblewrap: Bubblewrap | undefined;
  hostPaths: SandboxPaths;
  path: string;
  command: AgentCommand;
  output?: string | undefined;
}): SandboxProcess {
  const { id, folder, bubblewrap, hostPaths, path, command, output } = options;
  const paths = bubblewrap ? INSIDE : hostPaths;
  const processId = crypto.randomUUID();
  const infoFile = join(folder, `process-${processId}.json`);
  const info = openSync(infoFile, "wx", 0o600);
  const start = () =>
    Bun.spawn(bubblewrap ? wrap(bubblewrap, hostPaths, { ...command, infoFd: INFO_FD }) : [...command.argv], {
      cwd: hostPaths.checkout,
      env: {
        PATH: path,
        HOME: paths.home,
        TMPDIR: paths.tmp,
        LANG: "C.UTF-8",
        ...command.env,
        [MARKER]: id,
        [PROCESS_MARKER]: processId,
      },
      stdio: [
        new Blob([command.stdin]),
        output === undefined ? "pipe" : Bun.file(output),
        "pipe",
        // The file's descriptor is bubblewrap's alone; it closes it before it starts the program.
        ...(bubblewrap ? [info] : []),
      ],
      detached: true,
    });
  let child: ReturnType<typeof start>;
  try {
    child = start();
  } catch (error) {
    return notStarted(messageOf(error));
  } finally {
    closeSync(info);
  }
  const stderr = tailOf(child.stderr as ReadableStream<Uint8Array>);
  const ended = () => child.exitCode !== null || child.signalCode !== null;

  // Only when everything that it started is gone is a run over: no daemon may write into a checkout that is collected.
  const exit = (async (): Promise<AgentExit> => {
    await child.exited;
    if (bubblewrap) await endNamespace(namespaceInit(infoFile));
    await endMarked(PROCESS_MARKER, processId);
    return {
      code: child.exitCode,
      signal: child.signalCode === null ? null : String(child.signalCode),
      stderr: await stderr,
    };
  })();
  exit.catch(() => undefined);

  /** To the program itself: bubblewrap does not pass signals on. It may still be on its way there. */
  const askToEnd = async (deadline: number) => {
    for (;;) {
      const init = namespaceInit(infoFile);
      const pid = bubblewrap ? init && (await agentOf(init)) : child.pid;
      if (pid !== undefined) return signal(pid, "SIGTERM");
      if (ended() || performance.now() > deadline) return;
      await Bun.sleep(POLL_MS);
    }
  };
  const end = async (graceMs: number) => {
    if (!ended() && graceMs > 0) {
      const deadline = performance.now() + graceMs;
      await askToEnd(deadline);
      while (!ended() && performance.now() < deadline) await Bun.sleep(POLL_MS);
    }
    if (!ended()) child.kill("SIGKILL");
    await exit;
  };

  let stopping: Promise<void> | undefined;
  return {
    lines: child.stdout instanceof ReadableStream ? linesOf(child.stdout) : nothing(),
    exit,
    stop(graceMs) {
      // A later, more impatient caller is heard too.
      if (graceMs <= 0 && !ended()) child.kill("SIGKILL");
      stopping ??= end(graceMs);
      return stopping;
    },
  };
}

/** PID 1 of the namespace, as this process sees it; undefined until bubblewrap has made it. */
function namespaceInit(infoFile: string): number | undefined {
  try {
    const pid: unknown = JSON.parse(readFileSync(infoFile, "utf8"))["child-pid"];
    return typeof pid === "number" ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** As a shell reports a program that cannot be started. */
function notStarted(stderr: string): SandboxProcess {
  const exit = Promise.resolve({ code: 127, signal: null, stderr });
  return { lines: nothing(), exit, stop: async () => undefined };
}

async function* nothing(): AsyncGenerator<string> {}
