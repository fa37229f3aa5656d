import { readdir, readFile } from "node:fs/promises";

/** In the environment of everything that a sandbox starts; also a daemon that calls setsid keeps it. */
export const MARKER = "PROMPT_BACKEND_SANDBOX";
/** The same for one program and what it started: its end must not end another of the same sandbox. */
export const PROCESS_MARKER = "PROMPT_BACKEND_PROCESS";
const END_TIMEOUT_MS = 5_000;

/** Ids of the processes whose environment has exactly this entry (Linux; elsewhere none are found). */
async function markedProcesses(mark: string): Promise<number[]> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
      return environment.split("\0").includes(mark) ? Number(pid) : undefined;
    }),
  );
  return found.filter((pid) => pid !== undefined);
}

/** Kills everything that carries the mark and waits until it is gone. @throws Error when something cannot be ended. */
export async function endMarked(marker: typeof MARKER | typeof PROCESS_MARKER, id: string): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  for (;;) {
    const pids = await markedProcesses(`${marker}=${id}`);
    if (pids.length === 0) return;
    for (const pid of pids) signal(pid, "SIGKILL");
    if (performance.now() > deadline)
      throw new Error(`processes ${pids.join(", ")} of ${marker} ${id} could not be ended`);
    await Bun.sleep(5);
  }
}

/** Processor time, in clock ticks, of everything that one program started and of what of that has ended. */
export async function cpuTicksOf(processId: string): Promise<number> {
  const pids = await markedProcesses(`${PROCESS_MARKER}=${processId}`);
  const ticks = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    }),
  );
  return ticks.reduce((sum, one) => sum + one, 0);
}

/** The program that bubblewrap runs: the first child of PID 1 of the namespace. */
export const agentOf = (init: number): Promise<number | undefined> => firstChildOf(init);

export async function firstChildOf(pid: number): Promise<number | undefined> {
  return (await childrenOf(pid))[0];
}

/**
 * Ends a PID namespace by its PID 1 and waits: the kernel lets that one go only after all others. Bubblewrap itself
 * ends a moment earlier.
 */
export async function endNamespace(init: number | undefined): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  while (init !== undefined && (await isNamespaceInit(init))) {
    signal(init, "SIGKILL");
    if (performance.now() > deadline) throw new Error(`the processes below ${init} could not be ended`);
    await Bun.sleep(5);
  }
}

/** Still there, not yet a zombie that waits for its parent, and not a stranger that got the same number. */
async function isNamespaceInit(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return /^NSpid:.*\s1$/m.test(status) && !/^State:\s*[ZX]/m.test(status);
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

/** A process that has ended meanwhile is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
