import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import type { AgentCommand, SandboxPaths } from "../../agents/agent.ts";
import type { AgentProcess } from "../../db/json-columns.ts";
import { type Bubblewrap, INSIDE, wrap } from "../isolation/bubblewrap.ts";
import type { SandboxExit, SandboxProcess } from "../sandbox.ts";
import { readJournal, tailOf } from "./journal.ts";
import {
  agentOf,
  cpuTicksOf,
  endMarked,
  endNamespace,
  firstChildOf,
  PROCESS_MARKER,
  signal,
} from "./processes.ts";
import {
  ageMs,
  exitCodeIn,
  INFO_FD,
  isAlive,
  type ProcessFiles,
  type ProcessIdentity,
  processFiles,
  startKeeper,
} from "./supervisor.ts";

const POLL_MS = 10;
/** Looking whether the keeper still lives costs more than looking for its exit file. */
const ALIVE_EVERY = 25;
/** How a shell says that SIGKILL ended a program. */
const KILLED = 128 + 9;

interface Place {
  /** The sandbox's id, folder and machine. */
  id: string;
  folder: string;
  host: string;
  isolated: boolean;
}

/**
 * Starts a program in a sandbox: under bubblewrap, or bare. Its environment is made from scratch and handed over as
 * environment, not as arguments, which everybody can read.
 * @param options.limitMs after which it is ended whoever watches or not.
 */
export function startProcess(
  place: Place,
  options: {
    bubblewrap: Bubblewrap | undefined;
    hostPaths: SandboxPaths;
    path: string;
    command: AgentCommand;
    limitMs: number;
  },
): SandboxProcess {
  const { bubblewrap, hostPaths, path, command, limitMs } = options;
  const paths = bubblewrap ? INSIDE : hostPaths;
  const processId = crypto.randomUUID();
  const files = processFiles(place.folder, processId);
  const identity = startKeeper({
    files,
    sandboxId: place.id,
    processId,
    argv: bubblewrap ? wrap(bubblewrap, hostPaths, { ...command, infoFd: INFO_FD }) : command.argv,
    env: { PATH: path, HOME: paths.home, TMPDIR: paths.tmp, LANG: "C.UTF-8", ...command.env },
    cwd: hostPaths.checkout,
    stdin: command.stdin,
    limitMs,
  });
  return watchProcess(place, files, { host: place.host, id: processId, ...identity });
}

/** A process that another runner, maybe one before a restart, has started. Undefined where its folder is gone. */
export async function attachProcess(place: Place, record: AgentProcess): Promise<SandboxProcess | undefined> {
  const files = processFiles(place.folder, record.id);
  const there = await stat(files.stdin).catch(() => undefined);
  return there && watchProcess(place, files, record);
}

function watchProcess(place: Place, files: ProcessFiles, record: AgentProcess): SandboxProcess {
  const watching = new AbortController();
  let ended = false;

  const waitForKeeper = async (): Promise<number | undefined> => {
    for (let round = 0; ; round += 1) {
      const code = exitCodeIn(files);
      if (code !== undefined) return code;
      // It may have written its last word between the two looks.
      if (round % ALIVE_EVERY === 0 && !isAlive(record)) return exitCodeIn(files);
      if (watching.signal.aborted) return undefined;
      await Bun.sleep(POLL_MS);
    }
  };
  /** Only when everything that it started is gone is a run over: no daemon may write into a checkout that is collected. */
  const endAll = async () => {
    await endNamespace(namespaceInit(files));
    await endMarked(PROCESS_MARKER, record.id);
  };
  const exit = (async (): Promise<SandboxExit> => {
    const code = await waitForKeeper();
    watching.signal.throwIfAborted();
    await endAll();
    // It has said its last word, and is on its way out.
    while (isAlive(record)) await Bun.sleep(1);
    ended = true;
    const lost = code === undefined;
    const killed = lost || code === KILLED;
    return {
      code: killed ? null : code,
      signal: killed ? "SIGKILL" : null,
      stderr: await tailOf(files.err),
      lost,
    };
  })();
  exit.catch(() => undefined);

  /** To the program itself: bubblewrap does not pass signals on. It may still be on its way there. */
  const askToEnd = async (deadline: number) => {
    while (!ended && performance.now() < deadline) {
      const pid = await programOf(place, files, record);
      if (pid !== undefined) return signal(pid, "SIGTERM");
      await Bun.sleep(POLL_MS);
    }
  };
  const end = async (graceMs: number) => {
    const deadline = performance.now() + graceMs;
    if (graceMs > 0) {
      await askToEnd(deadline);
      while (!ended && exitCodeIn(files) === undefined && performance.now() < deadline)
        await Bun.sleep(POLL_MS);
    }
    if (!ended) await endAll();
    await exit;
  };

  let stopping: Promise<void> | undefined;
  return {
    record,
    ageMs: () => ageMs(record),
    state: exitCodeIn(files) !== undefined ? "ended" : isAlive(record) ? "running" : "lost",
    lines: (from) => readJournal({ file: files.out, from, ended: () => ended, signal: watching.signal }),
    output: files.out,
    exit,
    stop(graceMs) {
      // A later, more impatient caller is heard too.
      if (graceMs <= 0 && !ended && stopping) void endAll().catch(() => undefined);
      stopping ??= end(graceMs);
      return stopping;
    },
    async usage() {
      const sizes = await Promise.all(
        [files.out, files.err].map((file) => stat(file).then(({ size }) => size)),
      );
      return {
        cpuTicks: await cpuTicksOf(record.id),
        outputBytes: sizes.reduce((sum, size) => sum + size, 0),
      };
    },
    letGo: () => watching.abort(new Error("no longer watched")),
  };
}

/** Under bubblewrap the first child of the namespace's PID 1; bare the child of `timeout`, the keeper's child. */
async function programOf(
  { isolated }: Place,
  files: ProcessFiles,
  keeper: ProcessIdentity,
): Promise<number | undefined> {
  if (isolated) {
    const init = namespaceInit(files);
    return init && (await agentOf(init));
  }
  const timeout = await firstChildOf(keeper.pid);
  return timeout && (await firstChildOf(timeout));
}

/** PID 1 of the namespace, as this process sees it; undefined until bubblewrap has made it. */
function namespaceInit(files: ProcessFiles): number | undefined {
  try {
    const pid: unknown = JSON.parse(readFileSync(files.info, "utf8"))["child-pid"];
    return typeof pid === "number" ? pid : undefined;
  } catch {
    return undefined;
  }
}
