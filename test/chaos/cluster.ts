import { mkdir, mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killMarked, MARKER } from "../../src/sandboxes/process/processes.ts";
import { programArgv, runProgram } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { type PrivateServer, startPostgres, startRedis } from "../harness/private-servers.ts";
import { type RunningProcess, startProcess } from "../harness/process.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { agentCommand, traceEgress } from "./agent.ts";

export type Combination = "redis" | "postgres" | "embedded";

/** The process whose clock can be changed. */
const STEPPABLE = "worker-2";

/** One process of the service; can be killed and restarted at the same address. */
export interface Node {
  name: string;
  serves: boolean;
  dataDir: string;
  /** Undefined while it is down. */
  process: RunningProcess | undefined;
  url: string | undefined;
  start(): Promise<void>;
  /** Resolves when it has exited. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
}

export interface Cluster {
  folder: string;
  nodes: Node[];
  /** The DATA_DIRs of two machines, as far as the service can tell. */
  dataDirs: string[];
  databaseUrl: string | undefined;
  postgres: PrivateServer | undefined;
  redis: PrivateServer | undefined;
  redisFolder: string;
  /** Sets one process's clock, in seconds from the real time. Undefined without libfaketime. */
  setClock: ((offset: number) => Promise<void>) | undefined;
  /** Writes what each process has printed in all its lives to `folder`/<name>.log. */
  keepLogs(folder: string): Promise<void>;
  token(user: string): Promise<string>;
  close(): Promise<void>;
}

/** A cluster's five processes (two servers, three workers on two machines), or the single one of embedded mode. */
export async function openCluster(options: {
  combination: Combination;
  tracePort: number;
}): Promise<Cluster> {
  const { combination, tracePort } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-chaos-"));
  const postgres = combination === "embedded" ? undefined : await startPostgres({ folder, durable: true });
  const redis = combination === "redis" ? await startRedis({ folder }) : undefined;
  const [one, two] = [join(folder, "one"), join(folder, "two")];
  const base = {
    AUTH_MODE: "local",
    HOST: "127.0.0.1",
    LOG_LEVEL: "info",
    AGENT: "command",
    AGENT_COMMAND: JSON.stringify(agentCommand(tracePort)),
    ...traceEgress(tracePort),
    MIN_FREE_DISK_MB: "16",
    RUN_DISK_MB: "64",
    LOCAL_REPOSITORIES: tmpdir(),
    RATE_LIMIT_PER_MINUTE: "0",
    RATE_LIMIT_ADDRESS_PER_MINUTE: "0",
    ...(postgres && { DATABASE_URL: postgres.url }),
    ...(redis && { REDIS_URL: redis.url }),
  };
  await mkdir(one);
  await mkdir(two);
  // A small disk that can be filled without harming the machine.
  const mounted = (await Bun.$`mount -t tmpfs -o size=128m tmpfs ${two}`.nothrow().quiet()).exitCode === 0;
  const clock = join(folder, "clock");
  await writeFile(clock, "+0");
  const faketime = await Array.fromAsync(new Bun.Glob("/usr/lib/*/faketime/libfaketime.so.1").scan());

  const printed = new Map<string, (readonly string[])[]>();
  const makeNode = async (name: string, args: string[], serves: boolean, dataDir: string): Promise<Node> => {
    const steppable = faketime.length > 0 && name === STEPPABLE;
    const port = serves ? await freePort() : 0;
    const node: Node = {
      name,
      serves,
      dataDir,
      process: undefined,
      url: serves ? `http://127.0.0.1:${port}` : undefined,
      async start() {
        const fake = steppable && {
          LD_PRELOAD: faketime[0],
          FAKETIME_TIMESTAMP_FILE: clock,
          FAKETIME_NO_CACHE: "1",
          FAKETIME_DONT_FAKE_MONOTONIC: "1",
        };
        const env = { ...base, DATA_DIR: dataDir, ...(serves && { PORT: String(port) }), ...fake };
        // While the database restarts, starting fails; retry like a service manager.
        for (let tries = 1; ; tries += 1) {
          const process = startProcess({ argv: [...programArgv(), ...args], env, cwd: folder });
          printed.set(name, [...(printed.get(name) ?? []), process.lines]);
          try {
            await process.waitForLine(serves ? /listens on/ : /prompt-backend runs/, { timeoutMs: 60_000 });
            node.process = process;
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
  };
  const nodes =
    combination === "embedded"
      ? [await makeNode("all", ["server", "--with-bg-tasks"], true, one)]
      : [
          await makeNode("server-1", ["server"], true, one),
          await makeNode("server-2", ["server"], true, one),
          await makeNode("worker-1", ["bg-tasks"], false, one),
          await makeNode("worker-2", ["bg-tasks"], false, one),
          await makeNode("worker-3", ["bg-tasks"], false, two),
        ];

  return {
    folder,
    nodes,
    dataDirs: [one, two],
    databaseUrl: postgres?.url,
    postgres,
    redis,
    redisFolder: join(folder, "redis"),
    setClock:
      faketime.length > 0 && combination !== "embedded"
        ? (offset) => writeFile(clock, `${offset < 0 ? "" : "+"}${offset}`)
        : undefined,
    async token(user) {
      const env = { ...base, DATA_DIR: one };
      const { stdout, stderr, code } = await runProgram(["token", "--user", user], { env, cwd: folder });
      if (code !== 0) throw new Error(`no token: ${stderr}`);
      return stdout.trim().split("\n").at(-1) ?? "";
    },
    async keepLogs(into) {
      await mkdir(into, { recursive: true });
      for (const [name, lives] of printed)
        await writeFile(join(into, `${name}.log`), lives.flat().join("\n"));
    },
    async close() {
      await Promise.all(nodes.map((node) => node.process?.[Symbol.asyncDispose]()));
      for (const dataDir of [one, two])
        for (const id of await readdir(join(dataDir, "sandboxes")).catch(() => []))
          await killMarked(MARKER, id);
      await redis?.stop();
      await postgres?.stop();
      if (mounted) await Bun.$`umount -l ${two}`.nothrow().quiet();
      await removeFolder(folder);
    },
  };
}
