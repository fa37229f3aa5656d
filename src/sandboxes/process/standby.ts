import { closeSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { AgentCommand } from "../../agents/agent.ts";
import type { Isolation } from "../isolation/isolation.ts";
import { ageClock } from "./identity.ts";
import {
  inSandbox,
  type SandboxProcess,
  type SandboxRef,
  type Surroundings,
  spawnIn,
} from "./sandbox-process.ts";
import { watchProcess } from "./watch-process.ts";

/** How long one waits. Longer, it would be worth less than what it costs. */
const STANDBY_MS = 10_000;

/**
 * Waits for a line of the socket, and becomes the shell that reads the command from file 7, whose stdin is 8 meanwhile. At the
 * end of file the service is gone, or does not want it any more. It closes what is not the program's.
 */
const WAIT = ["/bin/sh", "-c", "read -r _ <&6 || exit; exec /bin/sh 8<&0 <&7 6<&- 7<&-"] as const;

/**
 * A sandbox whose namespaces, user, limits and forwarder are ready before it is known what shall run in it: making them takes
 * longer than a checkout, and nothing in them depends on it. It is a program of its sandbox, as any other, which ends when this
 * process ends before it has said what to run.
 */
export interface Standby {
  /**
   * The command starts in it. @returns undefined if it would not have got the same surroundings, or if it has ended.
   * Call it once; what is not used is to be discarded.
   */
  start(options: Surroundings & { command: AgentCommand }): SandboxProcess | undefined;
  /** Ends it. */
  discard(): void;
}

/** @param options.readable of the command that is expected. */
export function standBy(
  sandbox: SandboxRef,
  options: Surroundings & { isolation: Isolation; readable: readonly string[] },
): Standby {
  const waiting = ({ readable }: Pick<AgentCommand, "readable">, surroundings: Surroundings) =>
    inSandbox(sandbox, { ...surroundings, command: { argv: WAIT, env: {}, readable } });
  const { argv, env, inside } = waiting(options, options);
  // It has no name any more when anything runs: what it will hold is secret.
  const file = join(sandbox.folder, `command-${crypto.randomUUID()}`);
  writeFileSync(file, "", { mode: 0o600 });
  const [toWrite, passed] = [openSync(file, "w"), openSync(file, "r")];
  rmSync(file);
  const limitMs = options.limitMs + STANDBY_MS;
  let spawned: ReturnType<typeof spawnIn>;
  try {
    spawned = spawnIn(sandbox, { ...options, limitMs, argv, env, inside, stdin: "", passed });
  } catch (error) {
    closeSync(toWrite);
    throw error;
  } finally {
    closeSync(passed);
  }
  const { files, record, line } = spawned;
  const age = ageClock(record);
  let open = true;
  const close = () => {
    clearTimeout(timer);
    if (!open) return;
    open = false;
    closeSync(toWrite);
    if (line !== undefined) closeSync(line);
  };
  const discard = () => {
    if (!open) return;
    close();
    // It ends by itself, too.
    void watchProcess({ sandbox, files, record, state: "running" })
      .stop(0)
      .catch(() => undefined);
  };
  const timer = setTimeout(discard, STANDBY_MS);
  timer.unref();

  return {
    start(wanted) {
      const { command, limitMs: wantedMs } = wanted;
      const wouldWait = waiting(command, wanted);
      const fits = wantedMs === options.limitMs && wanted.uid === options.uid && isSame(wouldWait.argv, argv);
      const all = inSandbox(sandbox, wanted);
      const script = scriptOf(command.argv, { ...all.env, ...all.inside });
      const hasEnded = statSync(files.exit).size > 0;
      if (!open || hasEnded || line === undefined || !fits || script === undefined) return undefined;
      writeFileSync(files.stdin, command.stdin, { mode: 0o600 });
      writeFileSync(toWrite, script);
      const waitedMs = Math.round(age());
      try {
        writeSync(line, "\n");
      } catch {
        // It has ended just now.
        return undefined;
      }
      close();
      return watchProcess({ sandbox, files, record: { ...record, waitedMs }, state: "running" });
    },
    discard,
  };
}

const isSame = (some: readonly string[], others: readonly string[]) =>
  some.length === others.length && some.every((one, index) => one === others[index]);

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @returns undefined for what a shell cannot say. */
function scriptOf(argv: readonly string[], env: Readonly<Record<string, string>>): string | undefined {
  const all = Object.entries(env);
  if (all.some(([name]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))) return undefined;
  return `${all.map(([name, value]) => `export ${name}=${quoted(value)}\n`).join("")}exec ${argv.map(quoted).join(" ")} <&8 8<&-\n`;
}
