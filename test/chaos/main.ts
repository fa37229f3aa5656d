import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../../src/config/config.ts";
import { type Database, openDatabase } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { makeRepository } from "../harness/repository.ts";
import { openTraces } from "./agent.ts";
import { type Cluster, type Combination, openCluster } from "./cluster.ts";
import { faultsOf } from "./faults.ts";
import { check, type Findings } from "./invariants.ts";
import { createRandom } from "./random.ts";
import { follow, type Reader } from "./readers.ts";
import { actAsUser, createLedger } from "./users.ts";

const USERS = ["ada", "bob", "cleo", "dan"];
const READERS = 6;
/** After the last fault: within this time something must change, until everything is idle. */
const QUIET_MS = 60_000;

/**
 * `bun run chaos [--minutes M] [--seed S] [--combination redis|postgres|embedded] [--logs FOLDER]`: users work during random faults, then
 * all invariants are checked. TEST_BINARY names an executable to test; by default the sources run. `--logs FOLDER` keeps
 * what the processes print.
 * @returns whether no violation was found.
 */
export async function chaos(options: {
  minutes: number;
  seed: number;
  combination: Combination;
  logs?: string | undefined;
  say: (line: string) => void;
}): Promise<boolean> {
  const { minutes, seed, combination, say } = options;
  const random = createRandom(seed);
  const traces = openTraces();
  const repository = await makeRepository();
  const cluster = await openCluster({ combination, tracePort: traces.port });
  const ledger = createLedger();
  const faults: Record<string, number> = {};
  const readers: Reader[] = [];
  try {
    for (const node of cluster.nodes) await node.start();
    const stop = new AbortController();
    const tokens = new Map<string, string>();
    for (const name of USERS) tokens.set(name, await cluster.token(name));
    const pace = combination === "embedded" ? 4 : 2;
    const users = USERS.map((name, index) => {
      const own = { name, repo: repository.path, random: createRandom(seed + index + 1), ledger };
      return actAsUser(cluster, { ...own, token: tokens.get(name) ?? "", until: stop.signal, pace });
    });

    const long: (Promise<void> | undefined)[] = [];
    const until = performance.now() + minutes * 60_000;
    const possible = faultsOf(cluster, random).filter((fault) => fault.inject !== undefined);
    while (performance.now() < until) {
      await Bun.sleep(500 + random.below(2_500));
      const followed = new Set(readers.map(({ sessionId }) => sessionId));
      const [sessionId, owner] = [...ledger.sessions].findLast(([id]) => !followed.has(id)) ?? [];
      if (readers.length < READERS && sessionId && owner)
        readers.push(follow(cluster, { sessionId, token: tokens.get(owner.user) ?? "", random }));
      const fault = random.pick(possible);
      faults[fault.name] = (faults[fault.name] ?? 0) + 1;
      say(`${new Date().toISOString()} ${fault.name}`);
      const undone = fault.inject?.();
      if (fault.long) long.push(undone);
      else await undone;
    }
    await Promise.all(long);
    await cluster.setClock?.(0);
    stop.abort();
    await Promise.all(users);
    say(await untilQuiet(cluster, [...tokens.values()]));
    await Bun.sleep(3_000);
    await Promise.all(readers.map((reader) => reader.stop()));
    for (const node of cluster.nodes) await node.end("SIGTERM");
    const database = await openTables(cluster);
    try {
      const found = await check({
        cluster,
        orm: database.orm,
        ledger,
        traces: traces.traces,
        readers,
        repository,
      });
      report({ ...options, faults, found });
      return Object.values(found.violations).every((list) => list.length === 0);
    } finally {
      await database.close();
    }
  } finally {
    if (options.logs) await cluster.keepLogs(options.logs);
    await cluster.close();
    await repository.remove();
    await traces.stop();
  }
}

/** Waits until no session has work or a sandbox. @returns how long it took, or what is still busy. */
async function untilQuiet(cluster: Cluster, tokens: readonly string[]): Promise<string> {
  const server = cluster.nodes.find((node) => node.serves);
  const started = performance.now();
  let changed = started;
  let loud = "";
  while (performance.now() - changed < QUIET_MS) {
    const lists = await Promise.all(
      tokens.map(async (token) => {
        const reply = await fetch(`${server?.url}/sessions`, {
          headers: { authorization: `Bearer ${token}` },
        });
        return ((await reply.json()) as { sessions: Record<string, unknown>[] }).sessions;
      }),
    ).catch(() => undefined);
    const busy = lists
      ?.flat()
      .filter(
        (one) => ["Pending", "Processing"].includes(String(one["inboxStatus"])) || one["sbxConfig"] !== null,
      );
    const folders = await Promise.all(
      cluster.dataDirs.map((dataDir) => readdir(join(dataDir, "sandboxes")).catch(() => [])),
    );
    if (busy?.length === 0 && folders.flat().length === 0)
      return `idle after ${((performance.now() - started) / 1000).toFixed(1)} s`;
    const sessions = busy?.map((one) => `session ${one["id"]} ${one["inboxStatus"]}`);
    const now = [...(sessions ?? ["no answer"]), ...folders.flat().map((id) => `sandbox ${id}`)].join(", ");
    if (now !== loud) changed = performance.now();
    loud = now;
    await Bun.sleep(250);
  }
  return `stuck for ${QUIET_MS / 1000} s: ${loud}`;
}

function openTables(cluster: Cluster): Promise<Database> {
  const config = readConfig({
    DATA_DIR: cluster.dataDirs[0],
    AUTH_MODE: "local",
    HOST: "127.0.0.1",
    ...(cluster.databaseUrl && { DATABASE_URL: cluster.databaseUrl }),
  });
  return openDatabase({ config, logger: createLogger({ level: "silent" }) });
}

function report(options: {
  minutes: number;
  seed: number;
  combination: Combination;
  faults: Record<string, number>;
  found: Findings;
  say: (line: string) => void;
}): void {
  const { minutes, seed, combination, faults, found, say } = options;
  const row = (name: string, value: unknown) => say(`  ${name.padEnd(46)}${value}`);
  const total = Object.values(faults).reduce((sum, one) => sum + one, 0);
  say(`\nchaos: ${combination}, ${minutes} min, seed ${seed}, ${total} faults`);
  for (const [name, value] of Object.entries(faults).sort()) row(name, value);
  say("counts");
  for (const [name, value] of Object.entries(found.counts).sort()) row(name, value);
  say("violations (must be 0)");
  for (const [name, list] of Object.entries(found.violations)) {
    row(name, list.length);
    for (const one of list.slice(0, 50)) say(`    ${one}`);
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: {
      minutes: { type: "string", default: "2" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      combination: { type: "string", default: "redis" },
      logs: { type: "string" },
    },
  });
  const good = await chaos({
    minutes: Number(values.minutes),
    seed: Number(values.seed),
    combination: values.combination as Combination,
    logs: values.logs,
    say: (line) => void process.stdout.write(`${line}\n`),
  });
  process.exit(good ? 0 : 1);
}
