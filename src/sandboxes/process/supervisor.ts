import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { identify, type ProcessIdentity } from "./identity.ts";
import { MARKER, PROCESS_MARKER } from "./processes.ts";

/**
 * Stands between a runner and a program of its sandbox, so that the program outlives the runner: a small shell, in a
 * session of its own, that starts the program with files as stdin, stdout and stderr, kills it at a limit of its own,
 * and records its exit code. The text is a constant; its arguments vary.
 * $1 folder of the process  $2 limit, seconds  $3 sandbox id  $4 process id  $5 seccomp filter  then the program.
 */
const SUPERVISOR = `
dir=$1 limit=$2 sandbox=$3 process=$4 filter=$5
shift 5
${MARKER}=$sandbox ${PROCESS_MARKER}=$process timeout -s KILL "$limit" "$@" \\
  <"$dir/stdin" >"$dir/out" 2>"$dir/err" 3>"$dir/info" 4<"$filter"
echo "$?" >"$dir/exit.new" && mv "$dir/exit.new" "$dir/exit"
`;

/** Names of the files in a process's folder that change while it runs. */
export const OUTPUT_FILE = "out";
export const EXIT_FILE = "exit";

/** The files of one process, in the sandbox's own folder, which agents under bubblewrap cannot see. */
export function processFiles(sandboxFolder: string, processId: string) {
  const folder = join(sandboxFolder, `process-${processId}`);
  const file = (name: string) => join(folder, name);
  return {
    folder,
    stdin: file("stdin"),
    out: file(OUTPUT_FILE),
    err: file("err"),
    info: file("info"),
    exit: file(EXIT_FILE),
  };
}
export type ProcessFiles = ReturnType<typeof processFiles>;

/**
 * Starts a program under a supervisor.
 * @param options.env the program's whole environment.
 * @param options.limitMs when the supervisor kills the program; rounded up to seconds.
 * @returns the supervisor's identity. @throws Error when not even the shell can be started.
 */
export function spawnSupervised(options: {
  files: ProcessFiles;
  sandboxId: string;
  processId: string;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  stdin: string;
  limitMs: number;
  /** Read by bubblewrap (see ISOLATION_FDS); undefined: the program is not isolated. */
  filter: string | undefined;
}): ProcessIdentity {
  const { files, sandboxId, processId, argv, env, cwd, stdin, limitMs, filter = "/dev/null" } = options;
  mkdirSync(files.folder, { mode: 0o700 });
  writeFileSync(files.stdin, stdin, { mode: 0o600 });
  // Readers may open these before the supervisor does.
  for (const file of [files.out, files.err]) writeFileSync(file, "", { mode: 0o600 });
  const limit = String(Math.max(1, Math.ceil(limitMs / 1000)));
  const child = Bun.spawn(
    ["/bin/sh", "-c", SUPERVISOR, "supervisor", files.folder, limit, sandboxId, processId, filter, ...argv],
    {
      cwd,
      env,
      stdio: ["ignore", "ignore", "ignore"],
      detached: true,
    },
  );
  child.unref();
  return identify(child.pid);
}

/** The program's exit code as a shell reports it; undefined while it runs, or when its supervisor was killed. */
export async function readExitCode(files: ProcessFiles): Promise<number | undefined> {
  const text = await readFile(files.exit, "utf8").catch(() => undefined);
  return text === undefined ? undefined : Number(text);
}
