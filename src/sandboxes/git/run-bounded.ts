import { closeSync, openSync } from "node:fs";
import { signalGroup } from "../../shared/signal-group.ts";
import { MIB } from "../../shared/units.ts";
import type { Cgroup, RunResources } from "../process/cgroup.ts";
import type { GroupUsage } from "../process/cgroup-usage.ts";
import { LIFELINE_FD, lifelineOf, onLifeline } from "../process/lifeline.ts";
import type { OwnedGroups } from "../process/owned-groups.ts";
import { type Fault, RepositoryError } from "./git-errors.ts";

/** What a program reads: a file, or text, which may come later, and does not reject. */
export type Input = { file: string } | { text: string } | { later: Promise<string> };

/** Where a program prints to, instead of the result: a file, or who takes each part as it comes, as much as there is. */
export type Output = string | ((part: Uint8Array) => void);

/**
 * Between SIGTERM and SIGKILL. On SIGTERM git removes its lock files. One in a sandbox is killed with all that is inside,
 * and gets as long to end; `retryOnLock` removes what is left in a store.
 */
const GRACE_MS = 2_000;
const OUTPUT_LIMIT = 32 * 1024 * 1024;
const STDERR_LIMIT = 64 * 1024;
/** Joins control groups and becomes the program: all files up to `--` are groups. The text is a constant. */
const JOIN = `while [ "$1" != -- ]; do echo 0 >"$1" || exit 126; shift; done; shift; exec "$@"`;

/**
 * Runs a program to its end, bounded in time and output, and in memory and processes where there are control groups.
 * Nothing that it has started is left then, and under bubblewrap neither when this process is killed.
 * @param program.groups undefined: the program's process group is what is killed, which a daemon leaves.
 * @param program.env its whole environment. @param program.filter of bubblewrap, if it is what `argv` begins with.
 * @returns code null: it was killed. @throws RepositoryError if it was stopped here; what `signal` aborted with.
 */
export async function runBounded(
  program: {
    argv: readonly string[];
    cwd: string;
    env: Record<string, string>;
    stdin: Input | undefined;
    stdout: Output | undefined;
    filter: string | undefined;
    groups: OwnedGroups | undefined;
    /** Whose fault it is to reach it. */
    timeout: { ms: number; fault: Fault };
  },
  signal: AbortSignal,
): Promise<{ code: number | null; out: string; err: string }> {
  // It may have aborted while the program was made ready.
  signal.throwIfAborted();
  const group = program.groups?.make();
  const { child, cut } = start(program, group);
  let stopped = "";
  let force: ReturnType<typeof setTimeout> | undefined;
  const stop = (reason: string) => {
    stopped ||= reason;
    if (cut) cut();
    else signalGroup(child.pid, "SIGTERM");
    force ??= setTimeout(() => {
      signalGroup(child.pid, "SIGKILL");
      // What cannot be killed is reported at the end.
      group?.kill().catch(() => undefined);
    }, GRACE_MS);
  };
  const onAbort = () => stop("it was interrupted");
  signal.addEventListener("abort", onAbort, { once: true });
  const { timeout, stdin } = program;
  let isLate = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const begin = () => {
    if (ended) return;
    timer = setTimeout(() => {
      isLate = true;
      stop(`it took longer than ${timeout.ms / 60_000} minutes`);
    }, timeout.ms);
  };
  if (stdin && "later" in stdin) void feed(child, stdin.later).then(begin);
  else begin();
  try {
    const [out, err] = await Promise.all([
      typeof child.stdout === "object"
        ? typeof program.stdout === "function"
          ? passOn(child.stdout, program.stdout)
          : textOf(child.stdout, OUTPUT_LIMIT, () => stop("it printed too much"))
        : "",
      textOf(child.stderr, STDERR_LIMIT, () => undefined),
      // What it has left behind may hold its pipes. What was stopped has its time to remove lock files.
      child.exited.then(() => (stopped ? undefined : group?.kill())),
    ]);
    signal.throwIfAborted();
    const limit = child.exitCode === 0 ? "" : exceeded(group?.usage(), program.groups?.resources);
    if (limit && !stopped) throw new RepositoryError(`git was stopped: ${limit}`);
    if (stopped)
      throw new RepositoryError(`git was stopped: ${stopped}`, undefined, isLate ? timeout.fault : "machine");
    return { code: child.exitCode, out, err };
  } finally {
    ended = true;
    cut?.();
    clearTimeout(timer);
    clearTimeout(force);
    signal.removeEventListener("abort", onAbort);
    // Otherwise that was done, and nothing can join an empty group.
    if (stopped) await group?.kill();
    // Nobody waits for the kernel to notice that it is empty.
    void group?.remove();
  }
}

/** Which limit of its group a program that failed has reached; "" if none. */
function exceeded(usage: GroupUsage | undefined, resources: RunResources | undefined): string {
  if (!resources || !usage) return "";
  if (usage.outOfMemory) return `it needed more than ${resources.memoryBytes / MIB} MB of memory`;
  return usage.outOfProcesses ? `it started more than ${resources.maxProcesses} processes` : "";
}

function start(program: Parameters<typeof runBounded>[0], group: Cgroup | undefined) {
  const { argv, cwd, env, stdin, stdout, filter } = program;
  const opened: number[] = [];
  const open = (file: string, flags: string) => {
    const descriptor = openSync(file, flags, 0o600);
    opened.push(descriptor);
    return descriptor;
  };
  const input = () => {
    if (stdin === undefined) return "ignore" as const;
    if ("later" in stdin) return "pipe" as const;
    return "file" in stdin ? open(stdin.file, "r") : Buffer.from(stdin.text);
  };
  try {
    const join = group ? ["/bin/sh", "-c", JOIN, "join", ...group.join, "--"] : [];
    const child = Bun.spawn([...join, ...(filter === undefined ? argv : onLifeline(argv))], {
      cwd,
      env,
      stdio: [
        input(),
        typeof stdout === "string" ? open(stdout, "w") : "pipe",
        "pipe",
        // What bubblewrap has created, which nobody needs here, its filter, and the lifeline.
        ...(filter === undefined ? [] : [open("/dev/null", "w"), open(filter, "r"), "pipe" as const]),
      ],
      // A process group of its own: git's helpers (git-remote-https, upload-pack) must end with it.
      detached: true,
    });
    const lifeline = child.stdio[LIFELINE_FD];
    return { child, cut: typeof lifeline === "number" ? lifelineOf(lifeline) : undefined };
  } catch (error) {
    void group?.remove();
    throw error;
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** Never rejects: a program that does not read it has ended by itself. */
async function feed({ stdin }: ReturnType<typeof start>["child"], later: Promise<string>): Promise<void> {
  if (typeof stdin !== "object") return;
  stdin.write(await later);
  await Promise.resolve(stdin.end()).catch(() => undefined);
}

async function passOn(stream: ReadableStream<Uint8Array>, take: (part: Uint8Array) => void): Promise<string> {
  for await (const part of stream) take(part);
  return "";
}

/** Reads on beyond the limit, so that the program does not block, but discards the rest. */
async function textOf(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  onLimit: () => void,
): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    size += part.length;
    if (size <= limit) parts.push(part);
    else onLimit();
  }
  return Buffer.concat(parts).toString("utf8");
}
