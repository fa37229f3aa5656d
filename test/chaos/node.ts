import { programArgv } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { type RunningProcess, startProcess } from "../harness/process.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";

/** One process of the service; can be killed and restarted at the same address. */
export interface Node {
  name: string;
  serves: boolean;
  dataDir: string;
  /** Undefined while it is down. */
  process: RunningProcess | undefined;
  url: string | undefined;
  /** What it has printed in each of its lives. */
  lives: (readonly string[])[];
  /** Ends that nobody asked for, with the last line that it printed. */
  crashes: string[];
  start(): Promise<void>;
  /** Resolves when it has exited. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
}

/** @param options.env its settings at each start; PORT is set here. @param options.cwd a folder of no importance. */
export async function makeNode(options: {
  name: string;
  args: readonly string[];
  dataDir: string;
  env: () => Record<string, string | undefined>;
  cwd: string;
}): Promise<Node> {
  const { name, args, dataDir, env, cwd } = options;
  const serves = args[0] === "server";
  const port = serves ? await freePort() : 0;
  const node: Node = {
    name,
    serves,
    dataDir,
    process: undefined,
    url: serves ? `http://127.0.0.1:${port}` : undefined,
    lives: [],
    crashes: [],
    async start() {
      const all = { ...env(), DATA_DIR: dataDir, ...(serves && { PORT: String(port) }) };
      // While the database restarts, starting fails; retry like a service manager.
      for (let tries = 1; ; tries += 1) {
        const process = startProcess({ argv: [...programArgv(), ...args], env: all, cwd });
        node.lives.push(process.lines);
        try {
          await process.waitForLine(serves ? /listens on/ : /prompt-backend runs/, {
            timeoutMs: START_TIMEOUT_MS,
          });
          node.process = process;
          void process.exit.then(({ code, signal }) => {
            if (node.process === process)
              node.crashes.push(`${name} ended with ${code ?? signal}: ${process.lines.at(-1)}`);
          });
          return;
        } catch (error) {
          await process[Symbol.asyncDispose]();
          if (tries >= 10) throw error;
          await Bun.sleep(500);
        }
      }
    },
    async end(signal) {
      const { process } = node;
      node.process = undefined;
      process?.kill(signal);
      await process?.exit;
    },
  };
  return node;
}
