import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { RedisClient } from "bun";
import { signal } from "../../src/sandboxes/process/processes.ts";
import type { Cluster } from "./cluster.ts";
import type { Node } from "./node.ts";
import type { Random } from "./random.ts";

export interface Fault {
  name: string;
  /** Undefined when impossible in this cluster. */
  inject: (() => Promise<void>) | undefined;
  /** Other faults may happen meanwhile. */
  long?: boolean;
}

/** How long a process is suspended: far longer than a lease. */
const PAUSE_MS = 30_000;

/** All faults. Each is undone before its promise resolves. */
export function faultsOf(cluster: Cluster, random: Random): Fault[] {
  const { nodes, redis, postgres, smallDisk } = cluster;
  // At most one fault per process at a time.
  const taken = new Set<Node>();
  const up = () => nodes.filter((node) => node.process !== undefined && !taken.has(node));
  const workers = () => up().filter((node) => !node.serves);
  /** Those whose agents work now. */
  const working = async () => {
    const agents = await Bun.$`pgrep -af ${`supervisor ${cluster.folder}`}`.nothrow().quiet().text();
    return up().filter(({ dataDir }) => agents.includes(`${dataDir}/sandboxes/`));
  };
  const victim = () => (up().length > 0 ? random.pick(up()) : undefined);
  const alone = async (node: Node | undefined, work: (node: Node) => Promise<void>) => {
    if (!node) return;
    taken.add(node);
    await work(node).finally(() => taken.delete(node));
  };
  const bounce = (victim: Node | undefined, signal: "SIGKILL" | "SIGTERM") =>
    alone(victim, async (node) => {
      await node.end(signal);
      await Bun.sleep(random.below(3_000));
      await node.start();
    });
  const pause = (victim: Node | undefined) =>
    alone(victim, async ({ process }) => {
      process?.kill("SIGSTOP");
      await Bun.sleep(PAUSE_MS);
      process?.kill("SIGCONT");
    });
  const redisCommand = async (...args: [string, ...string[]]) => {
    if (!redis) return;
    const client = new RedisClient(redis.url, { autoReconnect: false, connectionTimeout: 2_000 });
    try {
      const [name, ...rest] = args;
      await client.send(name, rest);
    } finally {
      client.close();
    }
  };
  const dump = join(cluster.redisFolder, "dump.rdb");
  const old = join(cluster.redisFolder, "old.rdb");

  return [
    { name: "kill -9 a process", inject: () => bounce(victim(), "SIGKILL") },
    { name: "kill -9 a process", inject: () => bounce(victim(), "SIGKILL") },
    // In the middle of a run, if there is one: its agent is adopted.
    {
      name: "kill -9 a runner",
      inject: async () => {
        const busy = await working();
        return bounce(busy.length > 0 ? random.pick(busy) : workers()[0], "SIGKILL");
      },
    },
    { name: "restart a process", inject: () => bounce(victim(), "SIGTERM") },
    {
      name: "kill -9 an agent with its supervisor",
      inject: async () => {
        const found = await Bun.$`pgrep -f ${`supervisor ${cluster.folder}`}`.nothrow().quiet().text();
        const pids = found.split("\n").filter(Boolean).map(Number);
        if (pids.length === 0) return;
        const supervisor = random.pick(pids);
        const children = (await Bun.$`pgrep -P ${supervisor}`.nothrow().quiet().text())
          .split("\n")
          .filter(Boolean);
        // The supervisor first, so that it cannot record the exit.
        for (const pid of [supervisor, ...children.map(Number)]) signal(pid, "SIGKILL");
      },
    },
    {
      name: "suspend a process for 30 s",
      inject: () => pause(victim()),
      long: true,
    },
    {
      name: "set the clock of a process",
      inject: cluster.setClock && (async () => cluster.setClock?.(random.pick([0, 3_600, -3_600, 90, -20]))),
    },
    { name: "flush Redis", inject: redis && (() => redisCommand("FLUSHALL")) },
    { name: "kill Redis", inject: redis && (() => redis.crash(() => Bun.sleep(random.below(5_000)))) },
    {
      name: "Redis from an old dump",
      inject:
        redis &&
        (async () => {
          await redisCommand("SAVE");
          await copyFile(dump, old);
          await Bun.sleep(5_000 + random.below(5_000));
          await redis.crash(() => copyFile(old, dump));
          await rm(dump, { force: true });
        }),
    },
    {
      name: "PostgreSQL restarts at once",
      inject: postgres && (() => postgres.crash(() => Bun.sleep(random.below(2_000)))),
    },
    {
      name: "the disk of checkouts is full",
      inject:
        smallDisk === undefined
          ? undefined
          : async () => {
              const filler = join(smallDisk, "filler");
              await Bun.$`dd if=/dev/zero of=${filler} bs=1M`.nothrow().quiet();
              await Bun.sleep(5_000);
              await rm(filler, { force: true });
            },
    },
  ];
}
