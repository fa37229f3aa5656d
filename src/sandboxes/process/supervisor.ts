import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MARKER, PROCESS_MARKER } from "./processes.ts";

/**
 * Stands between a runner and a program of its sandbox, so that the program outlives the runner: a small shell, in a
 * session of its own, that starts the program with files for stdin, stdout and stderr, ends it for good after a limit
 * of its own, and writes down how it ended. The text is a constant; what varies are its arguments.
 * $1 folder of the process  $2 limit, seconds  $3 sandbox id  $4 process id  then the program.
 */
const KEEPER = `
dir=$1 limit=$2 sandbox=$3 process=$4
shift 4
${MARKER}=$sandbox ${PROCESS_MARKER}=$process timeout -s KILL "$limit" "$@" \\
  <"$dir/stdin" >"$dir/out" 2>"$dir/err" 3>"$dir/info"
echo "$?" >"$dir/exit.new" && mv "$dir/exit.new" "$dir/exit"
`;

/** What the kernel shows to programs, whatever it uses itself. */
const TICKS_PER_SECOND = 100;

/** The descriptor on which bubblewrap says what it has made; it closes it before it starts the program. */
export const INFO_FD = 3;

/** Files of one process, in the sandbox's own folder, which agents under bubblewrap do not see. */
export function processFiles(sandboxFolder: string, processId: string) {
  const folder = join(sandboxFolder, `process-${processId}`);
  const file = (name: string) => join(folder, name);
  return {
    folder,
    stdin: file("stdin"),
    out: file("out"),
    err: file("err"),
    info: file("info"),
    exit: file("exit"),
  };
}
export type ProcessFiles = ReturnType<typeof processFiles>;

/** A process, beyond doubt: numbers are given out again, start times and boots are not. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot. */
  started: number;
  boot: string;
}

/**
 * Starts a program under a keeper.
 * @param options.env the program's whole environment.
 * @throws Error when not even the shell can be started.
 */
export function startKeeper(options: {
  files: ProcessFiles;
  sandboxId: string;
  processId: string;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  stdin: string;
  limitMs: number;
}): ProcessIdentity {
  const { files, sandboxId, processId, argv, env, cwd, stdin, limitMs } = options;
  mkdirSync(files.folder, { mode: 0o700 });
  writeFileSync(files.stdin, stdin, { mode: 0o600 });
  // They are there from the beginning, for whoever reads.
  for (const file of [files.out, files.err]) writeFileSync(file, "", { mode: 0o600 });
  const limit = String(Math.max(1, Math.ceil(limitMs / 1000)));
  const child = Bun.spawn(
    ["/bin/sh", "-c", KEEPER, "keeper", files.folder, limit, sandboxId, processId, ...argv],
    {
      cwd,
      env,
      stdio: ["ignore", "ignore", "ignore"],
      detached: true,
    },
  );
  child.unref();
  return { pid: child.pid, started: startOf(child.pid) ?? 0, boot: bootId() };
}

/** Whether this very process still runs. */
export function isAlive({ pid, started, boot }: ProcessIdentity): boolean {
  return boot === bootId() && started === startOf(pid);
}

/** How the program ended, as a shell says it; undefined while it runs, or when its keeper was killed. */
export function exitCodeIn(files: ProcessFiles): number | undefined {
  try {
    return Number(readFileSync(files.exit, "utf8"));
  } catch {
    return undefined;
  }
}

/** Milliseconds since a process was started, by the kernel's clock: the machine's may be set meanwhile. */
export function ageMs({ started }: ProcessIdentity): number {
  const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  return Math.max(0, uptime * 1000 - started * (1000 / TICKS_PER_SECOND));
}

/** Undefined: there is none, or only a zombie, which does nothing any more. */
function startOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
