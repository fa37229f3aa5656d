import { constants } from "node:os";
import type { DriverSpec } from "../agents/driver-spec.ts";

/** Messages that the agent has not read yet, before nothing more is read from it. */
const UNREAD_MESSAGES = 256;
/** Of stderr, this much is passed on as it comes; of the rest, the end. */
const STDERR_BYTES = 256 * 1024;
const STDERR_END_BYTES = 16 * 1024;

/** The agent, a child of this process. */
export interface AgentChild {
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Sends one line. Never throws: an agent that has ended is seen by its exit. */
  send(message: unknown): void;
  /** Resolves when the agent has read enough of what was sent. */
  ready(): Promise<void>;
  /** Closes its stdin, once everything is sent. */
  end(): void;
  kill(signal: NodeJS.Signals): void;
  /** The exit code as a shell has it: 128 and the signal's number for a signal. */
  readonly exited: Promise<number>;
}

/** @param stderr takes the agent's stderr. @throws Error if the program cannot be started. */
export function startChild(
  { argv }: Pick<DriverSpec, "argv">,
  options: { env: Record<string, string | undefined>; cwd: string; stderr: (part: Uint8Array) => void },
): AgentChild {
  const { env, cwd, stderr } = options;
  const child = Bun.spawn([...argv], { env, cwd, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  let unread = 0;
  let sent: Promise<unknown> = Promise.resolve();
  const enqueue = (act: () => unknown) => {
    unread += 1;
    sent = sent
      .then(act)
      .catch(() => undefined)
      .finally(() => (unread -= 1));
  };
  const drained = forwardBounded(child.stderr, stderr);
  return {
    stdout: child.stdout,
    send(message) {
      enqueue(() => {
        child.stdin.write(`${JSON.stringify(message)}\n`);
        return child.stdin.flush();
      });
    },
    async ready() {
      if (unread >= UNREAD_MESSAGES) await sent;
    },
    end: () => enqueue(() => child.stdin.end()),
    kill: (signal) => child.kill(signal),
    exited: child.exited.then(async () => {
      // A program that the agent left behind may have it open.
      await Promise.race([drained, Bun.sleep(500)]);
      const signal = child.signalCode as NodeJS.Signals | null;
      return child.exitCode ?? 128 + constants.signals[signal ?? "SIGKILL"];
    }),
  };
}

async function forwardBounded(stream: AsyncIterable<Uint8Array>, write: (part: Uint8Array) => void) {
  let passed = 0;
  let rest = Buffer.alloc(0);
  let skipped = 0;
  for await (const part of stream) {
    const now = part.subarray(0, Math.max(0, STDERR_BYTES - passed));
    if (now.length > 0) write(now);
    passed += now.length;
    if (now.length === part.length) continue;
    const all = Buffer.concat([rest, part.subarray(now.length)]);
    skipped += Math.max(0, all.length - STDERR_END_BYTES);
    rest = Buffer.from(all.subarray(-STDERR_END_BYTES));
  }
  if (skipped > 0) write(Buffer.from(`\n[${skipped} bytes left out]\n`));
  if (rest.length > 0) write(rest);
}
