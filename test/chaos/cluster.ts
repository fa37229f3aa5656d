import { mkdir, mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killMarked, MARKER } from "../../src/sandboxes/process/processes.ts";
import { runProgram } from "../harness/backend.ts";
import { type PrivateServer, startPostgres, startRedis } from "../harness/private-servers.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { traceEgress } from "./agent.ts";
import { makeNode, type Node } from "./node.ts";

export type Combination = "redis" | "postgres" | "embedded";

/** The processes by name, with their arguments and DATA_DIRs: as far as the service can tell, one DATA_DIR is one machine. */
const EMBEDDED = [["all", ["server", "--with-bg-tasks"], "all"]] as const;
const PROCESSES = [
  // Whoever verifies tokens needs the same key.
  ["server-1", ["server"], "servers"],
  ["server-2", ["server"], "servers"],
  ["worker-1", ["bg-tasks"], "worker-1"],
  ["worker-2", ["bg-tasks"], "worker-2"],
  ["worker-3", ["bg-tasks"], "worker-3"],
] as const;

/** The process whose clock can be changed. */
const STEPPABLE = "worker-2";
/** The DATA_DIR on a disk of its own. */
const SMALL = "worker-3";
/** The one worker that leaves prompts to the machine where their session is warm: were it all, few sessions would ever move. */
const PATIENT = "worker-1";
/** Users of sandboxes that each DATA_DIR has to itself: in truth they are all on this machine. */
const UIDS = 10_000;

export interface Cluster {
  folder: string;
  nodes: Node[];
  /** The first one has the key of tokens and, in embedded mode, the database. */
  dataDirs: string[];
  /** A DATA_DIR that can be filled without harming the machine. */
  smallDisk: string | undefined;
  databaseUrl: string | undefined;
  postgres: PrivateServer | undefined;
  redis: PrivateServer | undefined;
  redisFolder: string;
  /** Sets one process's clock, in seconds from the real time. Undefined without libfaketime. */
  setClock: ((offset: number) => Promise<void>) | undefined;
  /** Starts all processes, from now on with these settings of the agent; those that run are stopped first. */
  startWith(agent: Record<string, string>): Promise<void>;
  /** Writes what each process has printed in all its lives to `folder`/<name>.log. */
  keepLogs(folder: string): Promise<void>;
  token(user: string): Promise<string>;
  close(): Promise<void>;
}

/** A cluster's five processes (two servers, three workers on machines of their own), or the single one of embedded mode. */
export async function openCluster(options: {
  combination: Combination;
  tracePort: number;
}): Promise<Cluster> {
  const { combination, tracePort } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-chaos-"));
  const postgres = combination === "embedded" ? undefined : await startPostgres({ folder, durable: true });
  const redis = combination === "redis" ? await startRedis({ folder }) : undefined;
  const base = {
    AUTH_MODE: "local",
    HOST: "127.0.0.1",
    LOG_LEVEL: "info",
    ...traceEgress(tracePort),
    MIN_FREE_DISK_MB: "16",
    RUN_DISK_MB: "64",
    PERMISSION_TIMEOUT_MINUTES: "1",
    LOCAL_REPOSITORIES: tmpdir(),
    RATE_LIMIT_PER_MINUTE: "0",
    RATE_LIMIT_ADDRESS_PER_MINUTE: "0",
    ...(postgres && { DATABASE_URL: postgres.url }),
    ...(redis && { REDIS_URL: redis.url }),
  };
  const clock = join(folder, "clock");
  await writeFile(clock, "+0");
  const faketime = await Array.fromAsync(new Bun.Glob("/usr/lib/*/faketime/libfaketime.so.1").scan());
  const fake = {
    LD_PRELOAD: faketime[0],
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };

  const processes = combination === "embedded" ? EMBEDDED : PROCESSES;
  const dataDirs = [...new Set(processes.map(([, , machine]) => join(folder, machine)))];
  for (const dataDir of dataDirs) await mkdir(dataDir);
  const small = dataDirs.find((dataDir) => dataDir === join(folder, SMALL));
  const mount = small ? await Bun.$`mount -t tmpfs -o size=128m tmpfs ${small}`.nothrow().quiet() : undefined;
  const smallDisk = mount?.exitCode === 0 ? small : undefined;

  let agent: Record<string, string> = {};
  const nodes: Node[] = [];
  for (const [name, args, machine] of processes) {
    const dataDir = join(folder, machine);
    const first = 200_000 + UIDS * dataDirs.indexOf(dataDir);
    const env = () => ({
      ...base,
      ...agent,
      AGENT_UIDS: `${first}-${first + UIDS - 1}`,
      ...(name !== PATIENT && { AFFINITY_MS: "0" }),
      ...(faketime.length > 0 && name === STEPPABLE && fake),
    });
    nodes.push(await makeNode({ name, args, dataDir, env, cwd: folder }));
  }

  return {
    folder,
    nodes,
    dataDirs,
    smallDisk,
    databaseUrl: postgres?.url,
    postgres,
    redis,
    redisFolder: join(folder, "redis"),
    setClock:
      faketime.length > 0 && combination !== "embedded"
        ? (offset) => writeFile(clock, `${offset < 0 ? "" : "+"}${offset}`)
        : undefined,
    async startWith(settings) {
      agent = settings;
      for (const node of nodes) await node.end("SIGTERM");
      for (const node of nodes) await node.start();
    },
    async token(user) {
      const env = { ...base, DATA_DIR: dataDirs[0] ?? folder };
      const { stdout, stderr, code } = await runProgram(["token", "--user", user], { env, cwd: folder });
      if (code !== 0) throw new Error(`no token: ${stderr}`);
      return stdout.trim().split("\n").at(-1) ?? "";
    },
    async keepLogs(into) {
      await mkdir(into, { recursive: true });
      for (const { name, lives } of nodes)
        await writeFile(join(into, `${name}.log`), lives.flat().join("\n"));
    },
    async close() {
      await Promise.all(nodes.map((node) => node.process?.[Symbol.asyncDispose]()));
      for (const dataDir of dataDirs)
        for (const id of await readdir(join(dataDir, "sandboxes")).catch(() => []))
          await killMarked(MARKER, id);
      await redis?.stop();
      await postgres?.stop();
      if (smallDisk) await Bun.$`umount -l ${smallDisk}`.nothrow().quiet();
      await removeFolder(folder);
    },
  };
}
