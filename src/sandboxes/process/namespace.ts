import { readdirSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { sleep } from "../../shared/time.ts";
import { readUntrusted } from "../../shared/untrusted-file.ts";
import { bootId } from "./identity.ts";
import { KILL_POLL_MS, KILL_TIMEOUT_MS, signal } from "./processes.ts";
import { type ProcessFiles, SMALL_FILE_BYTES } from "./supervisor.ts";

/** The PID namespace that bubblewrap has made for a program: nothing that the program starts can leave it. */
export interface PidNamespace {
  /** Its PID 1, as this process sees it. */
  init: number;
  /** Undefined: this bubblewrap does not say. */
  inode: number | undefined;
}

/** All runs share one look at the machine's processes that is at most this old. */
const SCAN_MAX_AGE_MS = 200;

/** Undefined until bubblewrap has created it, and after a restart of the machine: its ids are those of others now. */
export async function readNamespace(files: ProcessFiles): Promise<PidNamespace | undefined> {
  // Processes of older versions have no such file.
  const boot = await readUntrusted(files.boot, SMALL_FILE_BYTES);
  if (boot !== undefined && boot.toString() !== bootId()) return undefined;
  try {
    const info: unknown = JSON.parse(String(await readUntrusted(files.info, SMALL_FILE_BYTES)));
    const numberIn = (name: string) => {
      const value = (info as Record<string, unknown>)[name];
      return typeof value === "number" ? value : undefined;
    };
    const init = numberIn("child-pid");
    return init === undefined ? undefined : { init, inode: numberIn("pid-namespace") };
  } catch {
    return undefined;
  }
}

/**
 * Kills a PID namespace by its PID 1 and waits: the kernel reaps that process only after all others have ended, whereas
 * bubblewrap itself ends a moment earlier.
 */
export async function killNamespace(namespace: PidNamespace | undefined): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  while (namespace !== undefined && (await isAlive(namespace))) {
    signal(namespace.init, "SIGKILL");
    if (performance.now() > deadline)
      throw new Error(`the processes below ${namespace.init} could not be killed`);
    await sleep(KILL_POLL_MS);
  }
}

/**
 * Whether its PID 1 exists and is not a zombie waiting for its parent. The kernel reuses ids, and PID 1 of another
 * namespace may be that of another sandbox, or of a container of this machine.
 */
async function isAlive({ init, inode }: PidNamespace): Promise<boolean> {
  const status = await readFile(`/proc/${init}/status`, "utf8").catch(() => "");
  if (!/^NSpid:.*\s1$/m.test(status) || /^State:\s*[ZX]/m.test(status)) return false;
  // One that this process may not look at is not its own.
  return inode === undefined || inodeOf(`${init}`) === inode;
}

let scan: { at: number; pids: Map<number, number[]> } | undefined;

/** The processes in a namespace. */
export function pidsInNamespace({ inode }: PidNamespace): readonly number[] {
  const now = performance.now();
  if (!scan || now - scan.at > SCAN_MAX_AGE_MS) scan = { at: now, pids: pidsByNamespace() };
  return (inode !== undefined && scan.pids.get(inode)) || [];
}

function pidsByNamespace(): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const inode = /^\d+$/.test(name) ? inodeOf(name) : undefined;
    if (inode === undefined) continue;
    const pids = found.get(inode) ?? [];
    pids.push(Number(name));
    found.set(inode, pids);
  }
  return found;
}

/** Undefined if there is no such process, or this one may not look at it. */
function inodeOf(pid: string): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/pid`))?.[0]);
  } catch {
    return undefined;
  }
}
