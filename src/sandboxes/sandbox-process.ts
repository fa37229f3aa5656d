import type { AgentCommand, AgentExit, SandboxPaths } from "../agents/agent.ts";
import { type Bubblewrap, INSIDE, wrap } from "./bubblewrap.ts";
import { linesOf, tailOf } from "./lines.ts";
import { agentBelow, endMarked, MARKER, signal } from "./processes.ts";
import type { SandboxProcess } from "./sandbox.ts";

/**
 * Starts a program in a sandbox: under bubblewrap, or bare in a session of its own. Its environment is made from
 * scratch and handed over as environment, not as arguments, which everybody can read.
 * @param options.output a file of the host that gets stdout instead of `lines`.
 */
export function startProcess(options: {
  id: string;
  bubblewrap: Bubblewrap | undefined;
  hostPaths: SandboxPaths;
  path: string;
  command: AgentCommand;
  output?: string | undefined;
}): SandboxProcess {
  const { id, bubblewrap, hostPaths, path, command, output } = options;
  const paths = bubblewrap ? INSIDE : hostPaths;
  const argv = bubblewrap ? wrap(bubblewrap, hostPaths, command) : [...command.argv];
  const child = Bun.spawn(argv, {
    cwd: hostPaths.checkout,
    env: { PATH: path, HOME: paths.home, TMPDIR: paths.tmp, LANG: "C.UTF-8", ...command.env, [MARKER]: id },
    stdin: new Blob([command.stdin]),
    stdout: output === undefined ? "pipe" : Bun.file(output),
    stderr: "pipe",
    detached: true,
  });
  const stderr = tailOf(child.stderr);

  // Only when everything that it started is gone is a run over: no daemon may write into a checkout that is collected.
  const exit = (async (): Promise<AgentExit> => {
    await child.exited;
    await endMarked(id);
    return {
      code: child.exitCode,
      signal: child.signalCode === null ? null : String(child.signalCode),
      stderr: await stderr,
    };
  })();
  exit.catch(() => undefined);

  let stopping: Promise<void> | undefined;
  const end = async (graceMs: number) => {
    if (child.exitCode === null && child.signalCode === null && graceMs > 0) {
      // To the program itself: bubblewrap does not pass signals on.
      const pid = bubblewrap ? await agentBelow(child.pid) : child.pid;
      if (pid !== undefined) signal(pid, "SIGTERM");
      await Promise.race([child.exited, Bun.sleep(graceMs)]);
    }
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await exit;
  };

  return {
    lines: child.stdout instanceof ReadableStream ? linesOf(child.stdout) : nothing(),
    exit,
    stop(graceMs) {
      stopping ??= end(graceMs);
      return stopping;
    },
  };
}

async function* nothing(): AsyncGenerator<string> {}
