import { readFile, stat } from "node:fs/promises";
import type { AgentProcess } from "../../db/json-columns.ts";
import { sleep } from "../../shared/time.ts";
import { cpuTicksOf } from "./cpu-usage.ts";
import { watchFolder } from "./file-changes.ts";
import { ageClock, isAlive, type ProcessIdentity } from "./identity.ts";
import { readJournal, tailOf } from "./journal.ts";
import { firstChildOf, killMarked, killNamespace, PROCESS_MARKER, signal } from "./processes.ts";
import type { SandboxExit, SandboxProcess, SandboxRef } from "./sandbox-process.ts";
import { EXIT_FILE, OUTPUT_FILE, type ProcessFiles, readExitCode } from "./supervisor.ts";

/** While a program is being stopped: how often to look whether it has started, and whether it has ended, milliseconds. */
const STOP_POLL_MS = 10;
/** How a shell reports a program that SIGKILL ended. */
const KILLED = 128 + 9;

/** Watches a program that runs under a supervisor, until it has ended or `detach` is called. */
export function watchProcess(options: {
  sandbox: SandboxRef;
  files: ProcessFiles;
  record: AgentProcess;
  state: SandboxProcess["state"];
}): SandboxProcess {
  const { sandbox, files, record, state } = options;
  const detached = new AbortController();
  const folder = watchFolder(files.folder);
  const output = folder.changesOf(OUTPUT_FILE);
  const exitFile = folder.changesOf(EXIT_FILE);
  /** Everything has ended. */
  let ended = false;
  /** The same, or it is not watched any more, or its end could not be established. */
  let settled = false;

  /** Its exit code; undefined when it was lost, or is not watched any more. */
  const awaitExitCode = async (): Promise<number | undefined> => {
    while (!detached.signal.aborted) {
      const seen = exitFile.count();
      const code = await readExitCode(files);
      if (code !== undefined) return code;
      // The supervisor may have written the file between the two.
      if (!(await isAlive(record))) return readExitCode(files);
      await exitFile.after(seen);
    }
    return undefined;
  };
  /** A run is over only when everything it started is gone: no daemon may write into a checkout that is being packed. */
  const killAll = async () => {
    await killNamespace(await namespaceInit(files));
    await killMarked(PROCESS_MARKER, record.id);
  };
  const exit = (async (): Promise<SandboxExit> => {
    try {
      const code = await awaitExitCode();
      detached.signal.throwIfAborted();
      await killAll();
      // The supervisor has written the exit code and is about to end.
      while (await isAlive(record)) await sleep(1);
      const lost = code === undefined;
      const killed = lost || code === KILLED;
      ended = true;
      const stderr = await tailOf(files.err);
      return { code: killed ? null : code, signal: killed ? "SIGKILL" : null, stderr, lost };
    } finally {
      settled = true;
      folder.close();
    }
  })();
  exit.catch(() => undefined);

  /** Sends SIGTERM to the program itself, because bubblewrap does not forward signals. It may still be starting. */
  const terminate = async (deadline: number) => {
    while (!ended && performance.now() < deadline) {
      const pid = await programOf(sandbox, files, record);
      if (pid !== undefined) return signal(pid, "SIGTERM");
      await sleep(STOP_POLL_MS);
    }
  };
  const end = async (graceMs: number) => {
    const deadline = performance.now() + graceMs;
    if (graceMs > 0) {
      await terminate(deadline);
      // Not `exit`: a program that was detached from can be stopped, too.
      while (!ended && (await readExitCode(files)) === undefined && performance.now() < deadline)
        await sleep(STOP_POLL_MS);
    }
    if (!ended) await killAll();
    exitFile.wake();
    if (!detached.signal.aborted) await exit;
  };

  let stopping: Promise<void> | undefined;
  return {
    record,
    ageMs: ageClock(record),
    state,
    lines: (from) =>
      readJournal({
        file: files.out,
        from,
        ended: () => settled,
        changes: output,
        signal: detached.signal,
      }),
    output: files.out,
    exit,
    stop(graceMs) {
      // A later call may shorten the grace period.
      if (graceMs <= 0 && !ended && stopping) void killAll().catch(() => undefined);
      // What could not be killed now may be killed the next time.
      stopping ??= end(graceMs).catch((error: unknown) => {
        stopping = undefined;
        throw error;
      });
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
    detach() {
      detached.abort(new Error("no longer watched"));
      folder.close();
    },
  };
}

/** Under bubblewrap the first child of the namespace's PID 1; else the child of `timeout`, the supervisor's child. */
async function programOf(
  { isolated }: SandboxRef,
  files: ProcessFiles,
  supervisor: ProcessIdentity,
): Promise<number | undefined> {
  const parent = isolated ? await namespaceInit(files) : await firstChildOf(supervisor.pid);
  return parent && (await firstChildOf(parent));
}

/** PID 1 of the namespace, as this process sees it; undefined until bubblewrap has created it. */
async function namespaceInit(files: ProcessFiles): Promise<number | undefined> {
  try {
    const pid: unknown = JSON.parse(await readFile(files.info, "utf8"))["child-pid"];
    return typeof pid === "number" ? pid : undefined;
  } catch {
    return undefined;
  }
}
