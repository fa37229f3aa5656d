import { tmpdir } from "node:os";

export interface StartOptions {
  argv: readonly [string, ...string[]];
  /** The environment, besides PATH, HOME, TMPDIR and LANG. Nothing else is inherited. */
  env?: Readonly<Record<string, string | undefined>>;
  cwd: string;
}

export interface RunningProcess {
  readonly pid: number;
  /** Lines of stdout and stderr, in the order of their arrival. */
  readonly lines: readonly string[];
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** Resolves after the process has ended and its output was read. */
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Waits for a matching line, past or future. @throws when the process ends first, or after `timeoutMs` (20 s). */
  waitForLine(pattern: RegExp, options?: { timeoutMs?: number }): Promise<RegExpExecArray>;
  /** Sends a signal to the process alone, as an operator would. */
  kill(signal: NodeJS.Signals): void;
  /** Kills the process and its process group. It may be called twice. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How long to wait for the last output of a process that has ended. */
const DRAIN_MS = 1000;
const groups = new Set<number>();

/** An environment without inherited configuration: PATH, this HOME, and `env`. */
export function scratchEnv(options: {
  home: string;
  env?: Readonly<Record<string, string | undefined>>;
}): Record<string, string> {
  const path = process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin";
  const all = { PATH: path, HOME: options.home, TMPDIR: tmpdir(), LANG: "C.UTF-8", ...options.env };
  return Object.fromEntries(
    Object.entries(all).filter((one): one is [string, string] => one[1] !== undefined),
  );
}

/** Starts a program in its own process group. Use with `await using`, or dispose of it in a finally block. */
export function startProcess(options: StartOptions): RunningProcess {
  const { argv, cwd } = options;
  const lines: string[] = [];
  const stdout: string[] = [];
  const stderr: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const one of waiting) one();
  };

  const child = Bun.spawn([...argv], {
    cwd,
    env: scratchEnv({ home: cwd, env: options.env ?? {} }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  track(child.pid);
  let ended = false;
  const output = Promise.all([read(child.stdout, stdout), read(child.stderr, stderr)]);
  const exit = child.exited.then(async () => {
    // Children that it left behind may keep its output open for ever; the process counts as ended all the same.
    await Promise.race([output, Bun.sleep(DRAIN_MS)]);
    ended = true;
    wake();
    return { code: child.exitCode, signal: child.signalCode as NodeJS.Signals | null };
  });

  async function read(stream: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    const add = (some: readonly string[]) => {
      into.push(...some);
      lines.push(...some);
      wake();
    };
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      add(parts);
    }
    if (rest !== "") add([rest]);
  }

  function waitForLine(
    pattern: RegExp,
    { timeoutMs = 20_000 }: { timeoutMs?: number } = {},
  ): Promise<RegExpExecArray> {
    const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
    let next = 0;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(`${timeoutMs} ms passed`), timeoutMs);
      const finish = (result: RegExpExecArray | string) => {
        clearTimeout(timer);
        waiting.delete(look);
        if (typeof result !== "string") return resolve(result);
        const tail = lines.slice(-30).join("\n");
        reject(
          new Error(`No line matched ${pattern} from ${argv.join(" ")}: ${result}. Its output:\n${tail}`),
        );
      };
      const look = () => {
        for (; next < lines.length; next++) {
          const found = match.exec(lines[next] ?? "");
          if (found) return finish(found);
        }
        if (ended) finish(`it ended with ${child.signalCode ?? `exit code ${child.exitCode}`}`);
      };
      waiting.add(look);
      look();
    });
  }

  return {
    pid: child.pid,
    lines,
    stdout,
    stderr,
    exit,
    waitForLine,
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      killGroup(child.pid);
      await exit;
      groups.delete(child.pid);
    },
  };
}

/** Kills the groups when this test process exits. */
function track(pid: number): void {
  if (groups.size === 0)
    process.once("exit", () => {
      for (const one of groups) killGroup(one);
    });
  groups.add(pid);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
