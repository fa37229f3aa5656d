import type { AgentProcess } from "../../db/json-columns.ts";
import { signalGroup } from "../../shared/signal-group.ts";
import { sleep } from "../../shared/time.ts";
import { watchFolder } from "./file-changes.ts";
import { ageClock, isAlive, ownsGroup, type ProcessIdentity } from "./identity.ts";
import { readJournal, tailOf } from "./journal.ts";
import { killProgram } from "./kill-programs.ts";
import { createMeter } from "./meter.ts";
import { readNamespace } from "./namespace.ts";
import { firstChildOf, KILL_POLL_MS, KILL_TIMEOUT_MS, signal } from "./processes.ts";
import type { SandboxExit, SandboxProcess, SandboxRef } from "./sandbox-process.ts";
import { EXIT_FILE, KILLED, OUTPUT_FILE, type ProcessFiles, readExitCode, wasWritten } from "./supervisor.ts";

/** While a program is being stopped: how often to look whether it has started, and whether it has ended, milliseconds. */
const STOP_POLL_MS = 10;

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
  const meter = createMeter({ sandbox, files, processId: record.id });
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
      if (!(await isAlive(record))) return (await readExitCode(files)) ?? abandon(record);
      await exitFile.after(seen);
    }
    return undefined;
  };
  /** A run is over only when everything it started is gone: no daemon may write into a checkout that is being packed. */
  const killAll = () => killProgram(sandbox, files, record.id);
  const exit = (async (): Promise<SandboxExit> => {
    try {
      const code = await awaitExitCode();
      detached.signal.throwIfAborted();
      await killAll();
      const cutOff = await awaitSupervisor(record);
      await meter.close();
      // All that it printed itself was written before what has escaped was cut off.
      const succeeded = code === 0 && cutOff;
      const lost = code === undefined || (!succeeded && !(await wasWritten(files)));
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

  /** When the grace period of `stop` is over. */
  let deadline = Number.POSITIVE_INFINITY;
  const hasEnded = async () => ended || (await readExitCode(files)) !== undefined;
  /** Sends SIGTERM to the program itself, because bubblewrap does not forward signals. It may still be starting. */
  const terminate = async () => {
    while (!ended && performance.now() < deadline) {
      const pid = await programOf(sandbox, files, record);
      if (pid !== undefined) return signal(pid, "SIGTERM");
      await sleep(STOP_POLL_MS);
    }
  };
  const end = async () => {
    await terminate();
    // Not `exit`: a program that was detached from can be stopped, too.
    while (performance.now() < deadline && !(await hasEnded())) await sleep(STOP_POLL_MS);
    if (!ended) await killAll();
    // What has just been started is not in its group or namespace yet: it was not found.
    while (!(await hasEnded()) && (await isAlive(record))) {
      await sleep(STOP_POLL_MS);
      await killAll();
    }
    exitFile.wake();
    if (!detached.signal.aborted) await exit;
  };

  let stopping: Promise<void> | undefined;
  return {
    record,
    ageMs: ageClock(record, record.waitedMs),
    state,
    lines: (from, byRun) =>
      readJournal({
        file: files.out,
        from,
        byRun,
        ended: () => settled,
        changes: output,
        signal: detached.signal,
      }),
    output: files.out,
    exit,
    stop(graceMs) {
      const until = performance.now() + graceMs;
      // A later call may shorten the grace period.
      deadline = stopping ? Math.min(deadline, until) : until;
      // What could not be killed now may be killed the next time.
      stopping ??= end().catch((error: unknown) => {
        stopping = undefined;
        throw error;
      });
      return stopping;
    },
    usage: meter.read,
    detach() {
      detached.abort(new Error("no longer watched"));
      folder.close();
    },
  };
}

/** What is left of a supervisor that was killed must not record an exit code any more: others have found it lost. */
async function abandon(supervisor: ProcessIdentity): Promise<undefined> {
  if (await ownsGroup(supervisor)) signalGroup(supervisor.pid, "SIGKILL");
}

/**
 * Waits until a supervisor, whose program has ended, has written the rest of the output. What has escaped from the run may
 * keep the pipes open for ever; then it is cut off. @returns whether it was.
 */
async function awaitSupervisor(supervisor: ProcessIdentity): Promise<boolean> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  let cutOff = false;
  while (await isAlive(supervisor)) {
    if (performance.now() > deadline) {
      signalGroup(supervisor.pid, "SIGKILL");
      cutOff = true;
    }
    await sleep(cutOff ? KILL_POLL_MS : 1);
  }
  return cutOff;
}

/**
 * Under bubblewrap the first child of the namespace's PID 1. Without it the supervisor has a shell for each of its two
 * pipes; below them is `timeout`, and then the program.
 */
async function programOf(
  { isolated }: SandboxRef,
  files: ProcessFiles,
  supervisor: ProcessIdentity,
): Promise<number | undefined> {
  const namespace = isolated ? await readNamespace(files) : undefined;
  let pid = isolated ? namespace?.init : supervisor.pid;
  for (let level = isolated ? 1 : 4; level > 0 && pid !== undefined; level -= 1)
    pid = await firstChildOf(pid);
  return pid;
}
