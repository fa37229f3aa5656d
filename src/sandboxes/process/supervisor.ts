import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIB } from "../../shared/units.ts";
import { readUntrusted } from "../../shared/untrusted-file.ts";
import { ISOLATION_FDS } from "../isolation/isolation.ts";
import { bootId, identify, type ProcessIdentity } from "./identity.ts";
import { MARKER, PROCESS_MARKER } from "./processes.ts";

const BLOCK_BYTES = 512;
/** Its last few KiB are shown when a program fails. */
const MAX_STDERR_BYTES = MIB;
/** A journal that has reached its quota is longer than the run may print. */
const OUTPUT_MARGIN_BYTES = MIB;

/** Where bubblewrap reads the environment of what runs inside. */
export const ENVIRONMENT_FD = 5;

/**
 * Stands between a runner and a program of its sandbox, so that the program outlives the runner: a small shell, in a
 * session of its own, that starts the program, kills it at a limit of its own, and records its exit code. The program gets
 * pipes: what it prints is appended to files by `dd` and `tee`, which write what they have read at once, so that it can
 * neither seek in those files nor truncate them. A quota in bytes is the size that they may give to a file (`dd count=`
 * counts reads, of which some are short): at the quota of stdout the pipe breaks; stderr beyond its quota is dropped.
 * Only the program joins the control group: killing the group leaves what was printed last to be written, and a group
 * without memory never costs the exit code. The supervisor ends after everything was written.
 * The text is a constant; its arguments vary.
 * $1 folder of the process  $2 limit, seconds  $3, $4 sizes of stdout and of any other file, blocks of 512 bytes
 * $5 sandbox id  $6 process id  $7 seccomp filter for bubblewrap, or empty  $8 the program's user, or empty
 * $9 number of files to join control groups  $10 not empty: the program gets files 3 and 4 of this shell as 6 and 7 (see
 * standby.ts)  then the files of control groups  then the program.
 */
const SUPERVISOR = `
ulimit -c 0
dir=$1 limit=$2 out=$3 size=$4 sandbox=$5 process=$6 filter=$7 uid=$8 groups=$9
shift 9
passes=$1
shift
program() {
  umask 022
  if [ -n "$passes" ]; then exec 6<&3 7<&4; fi
  while [ "$groups" -gt 0 ]; do
    echo 0 >"$1" || exit 126
    shift
    groups=$((groups - 1))
  done
  ulimit -f "$size"
  ulimit -n ${2 ** 14} 2>/dev/null
  if [ -n "$filter" ]; then exec ${ISOLATION_FDS.info}>"$dir/info" ${ISOLATION_FDS.seccomp}<"$filter"; fi
  if [ -e "$dir/env" ]; then
    exec ${ENVIRONMENT_FD}<"$dir/env"
    rm "$dir/env" || exit 126
  fi
  if [ -n "$uid" ]; then chown "$uid" /proc/self/fd/1 /proc/self/fd/2; fi
  export ${MARKER}="$sandbox" ${PROCESS_MARKER}="$process"
  exec timeout -s KILL "$limit" "$@"
}
{ { (program "$@") <"$dir/stdin" 2>&5 5>&-
    echo "$?" >>"$dir/exit"
  } | {
    ulimit -f "$out"
    dd bs=64k oflag=append conv=notrunc status=none of="$dir/out" 5>&-
    echo "$?" >"$dir/written"
  }
} 5>&1 >/dev/null | {
  trap '' XFSZ
  ulimit -f ${MAX_STDERR_BYTES / BLOCK_BYTES}
  exec tee -a "$dir/err" >/dev/null
}
`;

/** How a shell reports a program that SIGKILL, or SIGXFSZ, ended. */
export const KILLED = 128 + 9;
const QUOTA_REACHED = 128 + 25;

/** Names of the files in a process's folder that change while it runs. */
export const OUTPUT_FILE = "out";
export const EXIT_FILE = "exit";

/** What a process's folder is called in its sandbox's folder. */
export const PROCESS_FOLDER = /^process-(?<id>[0-9a-f-]{36})$/;

/** The files of one process, in the sandbox's own folder, which agents under bubblewrap cannot see. */
export function processFiles(sandboxFolder: string, processId: string) {
  const folder = join(sandboxFolder, `process-${processId}`);
  const file = (name: string) => join(folder, name);
  return {
    folder,
    stdin: file("stdin"),
    env: file("env"),
    out: file(OUTPUT_FILE),
    err: file("err"),
    info: file("info"),
    boot: file("boot"),
    exit: file(EXIT_FILE),
    written: file("written"),
  };
}
export type ProcessFiles = ReturnType<typeof processFiles>;

/**
 * Starts a program under a supervisor, in the process's folder, which is there already.
 * @param options.env the supervisor's environment, and the program's.
 * @param options.inside more of the program's, for bubblewrap alone: users choose the names. Neither this shell nor the programs
 * that it starts outside of the sandbox have it: variables such as GCONV_PATH or PS4 can make them run anything.
 * @param options.limitMs when the supervisor kills the program; rounded up to seconds.
 * @param options.maxOutputBytes what it may print. @param options.maxFileBytes what any file that it writes may have.
 * @param options.join files by which the program joins its control groups.
 * @param options.filter read by bubblewrap (see ISOLATION_FDS); undefined: the program is not isolated.
 * @param options.uid the user that the program runs as: it must be able to open /dev/stdout.
 * @param options.passed a file that the program gets, and with it a socket (see standby.ts).
 * @returns the supervisor's identity, and this process's end of that socket. @throws Error when not even the shell can be started.
 */
export function spawnSupervised(options: {
  files: ProcessFiles;
  sandboxId: string;
  processId: string;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  inside: Readonly<Record<string, string>>;
  cwd: string;
  stdin: string;
  limitMs: number;
  maxOutputBytes: number;
  maxFileBytes: number;
  join: readonly string[];
  filter: string | undefined;
  uid: number | undefined;
  passed?: number;
}): ProcessIdentity & { line: number | undefined } {
  const { files, sandboxId, processId, argv, env, inside, cwd, stdin, join, passed } = options;
  writeFileSync(files.stdin, stdin, { mode: 0o600 });
  const own = Object.entries(inside);
  if (own.length > 0)
    writeFileSync(files.env, own.map(([name, value]) => `--setenv\0${name}\0${value}\0`).join(""), {
      mode: 0o600,
    });
  writeFileSync(files.boot, bootId(), { mode: 0o600 });
  // Readers may open these before the supervisor does.
  for (const file of [files.out, files.err, files.exit]) writeFileSync(file, "", { mode: 0o600 });
  const parameters = [
    files.folder,
    Math.max(1, Math.ceil(options.limitMs / 1000)),
    Math.ceil((options.maxOutputBytes + OUTPUT_MARGIN_BYTES) / BLOCK_BYTES),
    Math.ceil(options.maxFileBytes / BLOCK_BYTES),
    sandboxId,
    processId,
    options.filter ?? "",
    options.uid ?? "",
    join.length,
    passed === undefined ? "" : "yes",
  ];
  const child = Bun.spawn(
    ["/bin/sh", "-c", SUPERVISOR, "supervisor", ...parameters.map(String), ...join, ...argv],
    {
      cwd,
      env,
      stdio: ["ignore", "ignore", "ignore", ...(passed === undefined ? [] : (["pipe", passed] as const))],
      detached: true,
    },
  );
  child.unref();
  const line = child.stdio[3];
  return { ...identify(child.pid), line: typeof line === "number" ? line : undefined };
}

/** The largest file that a supervisor or bubblewrap writes about a program. */
export const SMALL_FILE_BYTES = 4_096;

/**
 * Whether all that the program printed, up to its quota, was written. If whoever writes the journal was killed, or found the
 * disk full, the program failed by the pipe that broke: its exit code says nothing about it. Ask when the supervisor has
 * ended.
 */
export async function wasWritten(files: ProcessFiles): Promise<boolean> {
  const status = await readStatus(files.written);
  return status === 0 || status === QUOTA_REACHED;
}

/** The program's exit code as a shell reports it; undefined while it runs, or when its supervisor was killed. */
export const readExitCode = (files: ProcessFiles) => readStatus(files.exit);

async function readStatus(file: string): Promise<number | undefined> {
  // Without isolation an agent can write there.
  const text = (await readUntrusted(file, SMALL_FILE_BYTES))?.toString() ?? "";
  return text === "" ? undefined : Number(text);
}
