import { readdir, readFile } from "node:fs/promises";

/** In the environment of everything that a sandbox starts; also a daemon that calls setsid keeps it. */
export const MARKER = "PROMPT_BACKEND_SANDBOX";
const END_TIMEOUT_MS = 5_000;

/** Ids of the processes whose environment carries this sandbox's mark (Linux; elsewhere none are found). */
async function markedProcesses(id: string): Promise<number[]> {
  const mark = `${MARKER}=${id}`;
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
export async function endMarked(id: string): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  for (;;) {
    const pids = await markedProcesses(id);
    if (pids.length === 0) return;
    for (const pid of pids) signal(pid, "SIGKILL");
    if (performance.now() > deadline)
      throw new Error(`processes ${pids.join(", ")} of sandbox ${id} could not be ended`);
    await Bun.sleep(5);
  }
}

/** The program that bubblewrap runs: the child of its child, which is PID 1 of the namespace. */
export async function agentBelow(bwrapPid: number): Promise<number | undefined> {
  const [init] = await childrenOf(bwrapPid);
  return init === undefined ? undefined : (await childrenOf(init))[0];
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
