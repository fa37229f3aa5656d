import { mkdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import type { AgentCommand, AgentExit, SandboxPaths } from "../../agents/agent.ts";
import type { AgentProcess } from "../../db/json-columns.ts";
import { readOnly } from "../isolation/bubblewrap.ts";
import { INSIDE, MAILBOX_INSIDE, SHARED_INSIDE } from "../isolation/inside.ts";
import type { Isolation, Mount } from "../isolation/isolation.ts";
import type { Cgroups, RunResources } from "./cgroup.ts";
import { isAlive } from "./identity.ts";
import type { JournalLine, ReadingByRun } from "./journal.ts";
import type { ProcessUsage } from "./meter.ts";
import {
  ENVIRONMENT_FD,
  type ProcessFiles,
  processFiles,
  readExitCode,
  spawnSupervised,
} from "./supervisor.ts";
import { watchProcess } from "./watch-process.ts";

/** How a program of a sandbox ended. */
export interface SandboxExit extends AgentExit {
  /** The program and its supervisor are gone without an exit code: the machine was restarted, or both were killed. */
  lost: boolean;
}

/** A program in a sandbox. It does not depend on the process that started it; another one can attach to it. */
export interface SandboxProcess {
  /** All that is needed to attach to it. */
  readonly record: AgentProcess;
  /** Milliseconds since its start, by a clock that cannot be set. */
  ageMs(): number;
  /** Its state when it was started or attached to. */
  readonly state: "running" | "ended" | "lost";
  /**
   * Its output, past and future, line by line, from byte `from` on; ends when the program and everything it started
   * have ended. A line over the limit is cut and marked.
   * @param byRun default: each line by itself, and all of them.
   */
  lines(from: number, byRun?: ReadingByRun): AsyncIterable<JournalLine>;
  /** The file with its output. */
  readonly output: string;
  /** Resolves when the program AND everything it started have ended. */
  exit: Promise<SandboxExit>;
  /** SIGTERM, then SIGKILL after `graceMs`. Resolves when all processes have ended. Idempotent. */
  stop(graceMs: number): Promise<void>;
  /** What it uses; after its end, what it had used by then. */
  usage(): Promise<ProcessUsage>;
  /** Stops watching: `lines` ends, `exit` rejects. The program continues. */
  detach(): void;
}

/** Waits until a program has ended. @throws what `signal` aborted with, after the program was killed. */
export async function exitOf(process: SandboxProcess, signal: AbortSignal): Promise<SandboxExit> {
  const onAbort = () => void process.stop(0);
  signal.addEventListener("abort", onAbort, { once: true });
  // It may have aborted before, while something else was waited for.
  if (signal.aborted) onAbort();
  try {
    const exit = await process.exit;
    signal.throwIfAborted();
    return exit;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The sandbox that a program runs in. */
export interface SandboxRef {
  id: string;
  folder: string;
  /** The machine, as in a sandbox's config. */
  host: string;
  isolated: boolean;
  /** Undefined where there are none: then rlimits and watching are all that limits a program. */
  cgroups: Cgroups | undefined;
  /** What one program may use. */
  resources: RunResources;
  maxOutputBytes: number;
}

/** What a program of a sandbox gets beside its command. */
export interface Surroundings {
  isolation: Isolation | undefined;
  uid: number | undefined;
  hostPaths: SandboxPaths;
  /** The program's PATH. */
  path: string;
  /** When it is killed, watched or not. */
  limitMs: number;
  gateway: string | undefined;
  /** The folder that only the service writes. */
  mailbox: string;
  /** The folder of objects that the checkout borrows. */
  borrowed: string | undefined;
}

/**
 * Starts a program in a sandbox, isolated where this machine can: whether it may run is for Machine to say. Its environment
 * is built from scratch, and is never among arguments, which every user of the machine can read.
 */
export function startProcess(
  sandbox: SandboxRef,
  options: Surroundings & { command: AgentCommand },
): SandboxProcess {
  const { stdin } = options.command;
  const { files, record } = spawnIn(sandbox, { ...options, ...inSandbox(sandbox, options), stdin });
  return watchProcess({ sandbox, files, record, state: "running" });
}

/** A program's arguments and environment, with what isolates and limits it. See spawnSupervised for `inside`. */
export function inSandbox(
  { cgroups, resources }: SandboxRef,
  options: Surroundings & { command: Omit<AgentCommand, "stdin"> },
): { argv: readonly string[]; env: Record<string, string>; inside: Record<string, string> } {
  const { isolation, uid, hostPaths, path, command, gateway, mailbox, borrowed } = options;
  const paths = isolation ? INSIDE : hostPaths;
  const limited = isolation === undefined || cgroups?.capabilities.processes;
  const few = limited ? command.argv : withFewProcesses(command.argv, resources);
  const argv = cgroups?.capabilities.memory ? few : withLittleData(few, resources);
  // What we do with the work does not depend on what the agent made of the checkout's alternates, nor on where they lead: the
  // checkout may have been made in a sandbox of its own, while there were some.
  const lender =
    borrowed !== undefined && (command.builtIn || !isolation)
      ? { GIT_ALTERNATE_OBJECT_DIRECTORIES: isolation ? SHARED_INSIDE : borrowed }
      : {};
  const env = { PATH: path, HOME: paths.home, TMPDIR: paths.tmp, LANG: "C.UTF-8", ...lender };
  return {
    argv: isolation
      ? isolation.wrap({
          argv,
          // Read-only ones last: the sandbox's own folders would hide a program below /tmp or /home.
          mounts: [
            ...ownMounts(hostPaths),
            { source: mailbox, target: MAILBOX_INSIDE, writable: false },
            ...sharedMounts(borrowed),
            ...readOnly(command.readable),
          ],
          cwd: INSIDE.checkout,
          gateway,
          hostNetwork: !isolation.closedNetwork,
          uid,
          ...(Object.keys(command.env).length > 0 && { argumentsFd: ENVIRONMENT_FD }),
        })
      : argv,
    env: { ...env, ...(isolation ? {} : command.env) },
    inside: isolation ? { ...command.env } : {},
  };
}

/** @param options.argv as `inSandbox` makes them. @param options.passed see spawnSupervised. */
export function spawnIn(
  sandbox: SandboxRef,
  options: Surroundings & {
    argv: readonly string[];
    env: Record<string, string>;
    inside: Record<string, string>;
    stdin: string;
    passed?: number;
  },
): { files: ProcessFiles; record: AgentProcess; line: number | undefined } {
  const { isolation, uid, hostPaths, limitMs, argv, env, inside, stdin, passed } = options;
  const { cgroups, resources, maxOutputBytes } = sandbox;
  const processId = crypto.randomUUID();
  const files = processFiles(sandbox.folder, processId);
  // Before the group, which is swept away if no process of this machine has that name.
  mkdirSync(files.folder, { mode: 0o700 });
  const { line, ...identity } = spawnSupervised({
    files,
    sandboxId: sandbox.id,
    processId,
    argv,
    filter: isolation?.filter,
    uid: isolation?.uids ? uid : undefined,
    join: cgroups?.create(processId, resources).join ?? [],
    maxOutputBytes,
    maxFileBytes: resources.diskBytes,
    env,
    inside,
    cwd: hostPaths.checkout,
    stdin,
    limitMs,
    ...(passed !== undefined && { passed }),
  });
  return { files, record: { host: sandbox.host, id: processId, ...identity }, line };
}

const ownMounts = (hostPaths: SandboxPaths): Mount[] =>
  (Object.keys(INSIDE) as (keyof SandboxPaths)[]).map((name) => ({
    source: hostPaths[name],
    target: INSIDE[name],
    writable: true,
  }));

const sharedMounts = (folder: string | undefined): Mount[] =>
  folder === undefined ? [] : [{ source: folder, target: SHARED_INSIDE, writable: false }];

/**
 * A limit of the kernel's for each user, which must not count processes of the service or of other sandboxes: it is set
 * inside, where user namespaces and users of their own count by themselves. The kernel does not say that it was reached;
 * whoever watches must see more than the run may have.
 */
const withFewProcesses = (
  argv: AgentCommand["argv"],
  { maxProcesses }: RunResources,
): AgentCommand["argv"] => [
  "/bin/sh",
  "-c",
  'ulimit -u "$0" 2>/dev/null || ulimit -p "$0" 2>/dev/null; exec "$@"',
  `${maxProcesses * 2}`,
  ...argv,
];

/** JavaScriptCore reserves a gigabyte for its JIT, and does without it, much slower, where that is refused. */
const LEAST_DATA_BYTES = 4 * 1024 ** 3;

/**
 * Without a control group, memory is only looked at several times a second: a fast bomb could take the machine's
 * meanwhile. This limit of the kernel's is for each process. It is higher than the run's, or whoever watches would not
 * see that a run has exceeded that.
 */
const withLittleData = (argv: AgentCommand["argv"], { memoryBytes }: RunResources): AgentCommand["argv"] => [
  "/bin/sh",
  "-c",
  'ulimit -d "$0" 2>/dev/null; exec "$@"',
  `${Math.ceil(Math.max(memoryBytes * 1.5, LEAST_DATA_BYTES) / 1024)}`,
  ...argv,
];

/** Attaches to a program that another runner started, maybe before a restart. Undefined if its folder is gone. */
export async function attachProcess(
  sandbox: SandboxRef,
  record: AgentProcess,
): Promise<SandboxProcess | undefined> {
  const files = processFiles(sandbox.folder, record.id);
  if (!(await stat(files.stdin).catch(() => undefined))) return undefined;
  // In this order: a program may end, and its supervisor with it, between the two.
  const alive = await isAlive(record);
  const ended = (await readExitCode(files)) !== undefined;
  return watchProcess({ sandbox, files, record, state: ended ? "ended" : alive ? "running" : "lost" });
}
