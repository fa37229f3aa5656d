import { parseArgs } from "node:util";
import { readConfig } from "../../src/config/config.ts";
import { type Database, openDatabase } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { makeRepository } from "../harness/repository.ts";
import { acpAgent } from "./acp.ts";
import { AGENTS, type ChaosAgent, commandAgent, openTraces } from "./agent.ts";
import { claudeAgent, openModel } from "./claude.ts";
import { type Cluster, type Combination, openCluster } from "./cluster.ts";
import { faultsOf } from "./faults.ts";
import { check, type Findings } from "./invariants.ts";
import { untilQuiet } from "./quiet.ts";
import { createRandom } from "./random.ts";
import { follow, type Reader } from "./readers.ts";
import { createTalker } from "./talkers.ts";
import { createLedger, createUser } from "./users.ts";

const USERS = ["ada", "bob", "cleo", "dan"];
const READERS = 6;
/** How much slower users are, so that the machine can keep up: each start of Claude Code takes a second of it. */
const PACE = { command: 2, acp: 2, claude: 3 } as const;
/** How much slower with one process. */
const EMBEDDED_PACE = 2;

interface ChaosOptions {
  minutes: number;
  seed: number;
  combination: Combination;
  /**
   * Which agents work at once; each prompt is for one of them. These groups share the minutes, one after the other, and work in
   * the same sessions.
   */
  agents: readonly (readonly ChaosAgent[])[];
  /** Of Claude Code; needed if it is one of the agents. */
  program?: string | undefined;
  logs?: string | undefined;
  say: (line: string) => void;
}

/**
 * `bun run chaos [--minutes M] [--seed S] [--combination redis|postgres|embedded] [--agent command|acp|claude]... [--logs FOLDER]`:
 * users work, speak to agents at work and answer what those ask during random faults, then all invariants are checked. By default all agents work, one after the other: a
 * script, an agent of the Agent Client Protocol, Claude Code with a scripted model; `--agent command,acp` has two at once.
 * TEST_BINARY names an executable to test; by default the sources run.
 * `--logs FOLDER` keeps what the processes print.
 * @returns whether no violation was found.
 */
export async function chaos(options: ChaosOptions): Promise<boolean> {
  const { minutes, seed, combination, agents, program = "claude", say } = options;
  const random = createRandom(seed);
  const traces = openTraces();
  const model = openModel(traces.port);
  const repository = await makeRepository();
  const cluster = await openCluster({ combination, tracePort: traces.port });
  // Agents that are declared are there beside the default, for prompts that ask for them.
  const others = { ...(await acpAgent(traces.port)), ...commandAgent(traces.port) };
  const settings = { others, claude: { ...others, ...claudeAgent({ program, modelUrl: model.url }) } };
  const ledger = createLedger();
  const faults: Record<string, number> = {};
  const readers: Reader[] = [];
  try {
    const tokens = new Map<string, string>();
    for (const name of USERS) tokens.set(name, await cluster.token(name));
    const users = USERS.map((name, index) => {
      const own = { name, repo: repository.path, random: createRandom(seed + index + 1), ledger };
      return createUser(cluster, { ...own, token: tokens.get(name) ?? "" });
    });

    const talkers = USERS.map((name, index) => {
      const own = { name, ledger, random: createRandom(seed - index - 1), token: tokens.get(name) ?? "" };
      return createTalker(cluster, own);
    });

    for (const group of agents) {
      await cluster.startWith(group.includes("claude") ? settings.claude : settings.others);
      say(`${new Date().toISOString()} the agents: ${group.join(", ")}`);
      const stop = new AbortController();
      const pace =
        Math.max(...group.map((agent) => PACE[agent])) * (combination === "embedded" ? EMBEDDED_PACE : 1);
      const acting = users.map((user) => user.act({ agents: group, pace, until: stop.signal }));
      const steers = group.some((agent) => agent !== "claude");
      const talk = { steers, answersAll: false, pace, until: stop.signal };
      const talking = talkers.map((talker) => talker.talk(talk));
      const long: (Promise<void> | undefined)[] = [];
      const until = performance.now() + (minutes * 60_000) / agents.length;
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
      await Promise.all([...acting, ...talking]);
      const quiet = new AbortController();
      const last = { steers: false, answersAll: true, pace: 1, until: quiet.signal };
      const answering = talkers.map((talker) => talker.talk(last));
      say(await untilQuiet(cluster, [...tokens.values()]));
      quiet.abort();
      await Promise.all(answering);
    }
    await Bun.sleep(3_000);
    await Promise.all(readers.map((reader) => reader.stop()));
    for (const node of cluster.nodes) await node.end("SIGTERM");
    const database = await openTables(cluster);
    try {
      const found = await check({
        ...{ cluster, orm: database.orm, ledger, readers, repository },
        ...{ traces: traces.traces, reports: traces.reports, requests: model.requests },
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
    await model.stop();
    await traces.stop();
  }
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

function report(options: ChaosOptions & { faults: Record<string, number>; found: Findings }): void {
  const { minutes, seed, combination, agents, faults, found, say } = options;
  const row = (name: string, value: unknown) => say(`  ${name.padEnd(46)}${value}`);
  const total = Object.values(faults).reduce((sum, one) => sum + one, 0);
  say(
    `\nchaos: ${combination}, ${agents.map((group) => group.join(" with ")).join(" and ")}, ${minutes} min, seed ${seed}, ${total} faults`,
  );
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
      agent: { type: "string", multiple: true, default: [...AGENTS] },
      logs: { type: "string" },
    },
  });
  const agents = values.agent.map((group) => group.split(",") as ChaosAgent[]);
  const program = agents.flat().includes("claude") ? await claudeProgram() : undefined;
  if (typeof program === "object") throw new Error(`${program.missing}; without it: --agent command`);
  const good = await chaos({
    minutes: Number(values.minutes),
    seed: Number(values.seed),
    combination: values.combination as Combination,
    agents,
    program,
    logs: values.logs,
    say: (line) => void process.stdout.write(`${line}\n`),
  });
  process.exit(good ? 0 : 1);
}
