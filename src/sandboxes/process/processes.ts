import { readdir, readFile } from "node:fs/promises";
import { sleep } from "../../shared/time.ts";

/** In the environment of everything that a sandbox starts; even a daemon that calls setsid inherits it. */
export const MARKER = "PROMPT_BACKEND_SANDBOX";
/** The same for one program and what it started: killing it must not kill other programs of the sandbox. */
export const PROCESS_MARKER = "PROMPT_BACKEND_PROCESS";
const KILL_TIMEOUT_MS = 5_000;
const POLL_MS = 5;

/** Ids of the processes whose environment has this variable, by its value (Linux; elsewhere none are found). */
export async function processesByMark(marker: string): Promise<Map<string, number[]>> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const prefix = `${marker}=`;
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
      const entries = environment.split("\0").filter((one) => one.startsWith(prefix));
      return entries.map((one) => ({ pid: Number(pid), value: one.slice(prefix.length) }));
    }),
  );
  const result = new Map<string, number[]>();
  for (const { pid, value } of found.flat()) result.set(value, [...(result.get(value) ?? []), pid]);
  return result;
}

/**
 * Kills all processes with this mark and waits until they have ended.
 * @throws Error if one of them has not ended after 5 seconds.
 */
export async function killMarked(marker: typeof MARKER | typeof PROCESS_MARKER, id: string): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (;;) {
    const pids = (await processesByMark(marker)).get(id) ?? [];
    if (pids.length === 0) return;
    for (const pid of pids) signal(pid, "SIGKILL");
    if (performance.now() > deadline)
      throw new Error(`processes ${pids.join(", ")} of ${marker} ${id} could not be killed`);
    await sleep(POLL_MS);
  }
}

/**
 * Kills a PID namespace by its PID 1 and waits: the kernel reaps that process only after all others have ended, whereas
 * bubblewrap itself ends a moment earlier.
 */
export async function killNamespace(init: number | undefined): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  while (init !== undefined && (await isNamespaceInit(init))) {
    signal(init, "SIGKILL");
    if (performance.now() > deadline) throw new Error(`the processes below ${init} could not be killed`);
    await sleep(POLL_MS);
  }
}

/** Whether the process exists, is not a zombie waiting for its parent, and has not just reused the id. */
async function isNamespaceInit(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return /^NSpid:.*\s1$/m.test(status) && !/^State:\s*[ZX]/m.test(status);
}

/** Under bubblewrap the program is the first child of the namespace's PID 1. */
export async function firstChildOf(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const [first] = text.split(" ").filter(Boolean);
  return first === undefined ? undefined : Number(first);
}

/** Sends a signal. A process that has already ended is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
