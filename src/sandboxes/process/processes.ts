import { open, readdir, readFile, readlink } from "node:fs/promises";
import { sleep } from "../../shared/time.ts";

/**
 * In the environment of everything that a sandbox starts. Where there are neither control groups nor namespaces, this is
 * how its processes are found: a daemon that calls setsid inherits it. A program can drop it, and only then escapes.
 */
export const MARKER = "PROMPT_BACKEND_SANDBOX";
/** The same for one program and what it started: killing it must not kill other programs of the sandbox. */
export const PROCESS_MARKER = "PROMPT_BACKEND_PROCESS";
/** How long a kill may take, and how often to look whether it has worked. */
export const KILL_TIMEOUT_MS = 5_000;
export const KILL_POLL_MS = 5;
/** What is read of one environment: a program can have megabytes of it, and there may be hundreds of programs. */
const ENVIRONMENT_BYTES = 64 * 1024;
const READERS = 4;
/** How often an environment is read that is not there yet, and milliseconds between: a busy machine leaves it at that. */
const MAX_READS = 500;
const READ_AGAIN_MS = 1;
/** Looks in a row that must find nothing: one misses what is started by a process that ends before it is looked at. */
const EMPTY_LOOKS = 2;

type Marker = typeof MARKER | typeof PROCESS_MARKER;

/** What says that there is no such process, or no /proc, or that the process is somebody else's. */
const NOT_THERE = ["ENOENT", "ESRCH", "EACCES", "EPERM"];

/**
 * Ids of the processes whose environment has this variable, by its value (Linux; elsewhere none are found).
 * @throws when that cannot be found out: for lack of descriptors, say.
 */
export async function processesByMark(marker: Marker): Promise<Map<string, number[]>> {
  let pids = (await readdir("/proc").catch(unlessThere([]))).filter((name) => /^\d+$/.test(name));
  const prefix = `${marker}=`;
  const result = new Map<string, number[]>();
  /** Those whose environment is not there yet: one program is being replaced by another. */
  let unknown: string[] = [];
  const readOthers = async () => {
    const buffer = Buffer.alloc(ENVIRONMENT_BYTES);
    for (let pid = pids.pop(); pid !== undefined; pid = pids.pop()) {
      const environment = await startOf(`/proc/${pid}/environ`, buffer);
      if (environment === "" && (await hasProgram(pid)) && !(await hasEmptyEnvironment(pid)))
        unknown.push(pid);
      for (const entry of environment.split("\0").filter((one) => one.startsWith(prefix))) {
        const value = entry.slice(prefix.length);
        result.set(value, [...(result.get(value) ?? []), Number(pid)]);
      }
    }
  };
  for (let reads = 1; ; reads += 1) {
    await Promise.all(Array.from({ length: READERS }, readOthers));
    if (unknown.length === 0 || reads === MAX_READS) return result;
    // Together: there may be hundreds, and each would hold up a reader.
    [pids, unknown] = [unknown, []];
    await sleep(READ_AGAIN_MS);
  }
}

function unlessThere<T>(otherwise: T) {
  return (error: NodeJS.ErrnoException): T => {
    if (NOT_THERE.includes(error.code ?? "")) return otherwise;
    throw error;
  };
}

/** Not one of the kernel's own, nor one that has ended. */
const hasProgram = (pid: string): Promise<boolean> =>
  readlink(`/proc/${pid}/exe`).then(
    () => true,
    () => false,
  );

/** Its bounds, the 50th and 51st field, are the same then; both are 0 while a program is being replaced. */
async function hasEmptyEnvironment(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(unlessThere(""));
  // The name of the program, the second field, may hold anything.
  const [start, end] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(47, 49);
  return start !== "0" && start === end;
}

/** The beginning of a file, as far as it fits into the buffer; "" if it may not be read. @throws if it cannot be opened. */
async function startOf(file: string, buffer: Buffer): Promise<string> {
  const handle = await open(file, "r").catch(unlessThere(undefined));
  try {
    let length = 0;
    // The kernel gives a page at a time.
    for (let last = -1; handle && last !== 0 && length < buffer.length; length += last)
      last = (await handle.read(buffer, length, buffer.length - length, length)).bytesRead;
    return buffer.toString("latin1", 0, length);
  } catch {
    return "";
  } finally {
    await handle?.close();
  }
}

/**
 * Kills all processes with this mark and waits until they have ended. Marks can be forged: never this process itself, nor
 * the one that started it.
 * @throws Error if one of them has not ended after 5 seconds.
 */
export async function killMarked(marker: Marker, id: string): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (let emptyLooks = 0; ; ) {
    const marked = (await processesByMark(marker)).get(id) ?? [];
    const pids = marked.filter((pid) => pid !== process.pid && pid !== process.ppid);
    emptyLooks = pids.length === 0 ? emptyLooks + 1 : 0;
    if (emptyLooks === EMPTY_LOOKS) return;
    for (const pid of pids) signal(pid, "SIGKILL");
    if (pids.length > 0 && performance.now() > deadline)
      throw new Error(`processes ${pids.join(", ")} of ${marker} ${id} could not be killed`);
    await sleep(KILL_POLL_MS);
  }
}

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
