import { appendFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { createClaudeAgent } from "../../src/agents/claude.ts";
import { readConfig } from "../../src/config/config.ts";
import { type Database, openDatabase, rowsOf } from "../../src/db/client.ts";
import { migrate } from "../../src/db/migrate.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { createMemoryKeeper } from "../../src/memory/memory.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { type Keeps, keepState } from "../../src/sandboxes/kept-state.ts";
import { restoreState } from "../../src/sandboxes/restore-state.ts";
import type { Sandbox } from "../../src/sandboxes/sandbox.ts";
import { MIB } from "../../src/shared/units.ts";
import { startPostgres } from "../harness/private-servers.ts";
import { mustClaim, seedPrompt, writerOf } from "../harness/seed.ts";

/**
 * `bun run bench:memory [--followups N]`: what an agent's memory of 1, 10 and 60 MB adds to a run, in milliseconds: stored
 * for the first time, stored after a follow-up, restored where it ran before and on another machine; and what N follow-ups of
 * 20 KB each add to the database. On PostgreSQL and on the embedded database.
 */
const LIMIT = 64 * MIB;
const TURN_BYTES = 20_000;
const say = (line: string) => void process.stdout.write(`${line}\n`);
const never = new AbortController().signal;
const agent: Agent = createClaudeAgent({ program: () => undefined, missing: "" });

/** Lines like a transcript's: they shrink to about a fifth. */
function transcript(bytes: number): string {
  const lines: string[] = [];
  for (let size = 0; size < bytes; ) {
    const words = Array.from({ length: 60 }, () => Math.floor(Math.random() * 50_000).toString(36)).join(" ");
    const line = JSON.stringify({
      type: "user",
      uuid: crypto.randomUUID(),
      message: { role: "user", content: `${words} ${words}` },
    });
    lines.push(line);
    size += line.length + 1;
  }
  return `${lines.join("\n")}\n`;
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const began = performance.now();
  const result = await work();
  return { ms: performance.now() - began, result };
}

async function bench(database: Database, folder: string, name: string, followUps: number): Promise<void> {
  const { orm } = database;
  const memory = createMemoryKeeper({ orm, maxBytes: LIMIT });
  /** A session on one machine, with a transcript of its own. */
  const openSession = async () => {
    const { promptId, sessionId } = await seedPrompt(database);
    const run = await mustClaim(database, promptId);
    const home = join(folder, sessionId);
    const file = join(home, "state/projects/-workspace", `${sessionId}.jsonl`);
    await mkdir(join(file, ".."), { recursive: true });
    await mkdir(join(home, "kept"));
    const running = {
      keepState: (keeps: Keeps) => keepState(join(home, "state"), join(home, "kept"), keeps, LIMIT),
    } as unknown as Sandbox;
    const store = (of: ClaimedRun) => memory.store(of, { sandbox: running, agent, signal: never });
    const finish = (of: ClaimedRun, stored: Awaited<ReturnType<typeof store>>) =>
      writerOf(orm, of).finish({
        status: "Completed",
        error: null,
        errorKind: null,
        usage: { turns: 1 },
        content: "done",
        memory: stored,
      });
    const next = async () => {
      const wanted = {
        userId: run.userId,
        author: undefined,
        sessionId,
        data: "more",
        text: "more",
        priority: 0,
        maxUnfinished: 1e6,
      };
      const { id } = await orm.transaction((tx) => addPrompt(tx, wanted));
      return mustClaim(database, id);
    };
    const restore = async (of: ClaimedRun, kept: string) => {
      const state = join(home, crypto.randomUUID());
      await mkdir(state);
      const sandbox = {
        hostPaths: { state },
        restoreState: async (_keeps: unknown, stored: Parameters<typeof restoreState>[2]) =>
          restoreState(kept, state, stored),
      } as unknown as Sandbox;
      return memory.restore(of, { sandbox, agent, signal: never });
    };
    return { run, sessionId, home, file, store, finish, next, restore };
  };

  for (const size of [1, 10, 60]) {
    const one = await openSession();
    await Bun.write(one.file, transcript(size * MIB));
    const first = await timed(() => one.store(one.run));
    await one.finish(one.run, first.result);
    const again = await one.next();
    const here = await timed(() => one.restore(again, join(one.home, "kept")));
    const there = await timed(() => one.restore(again, join(one.home, "none")));
    await appendFile(one.file, transcript(TURN_BYTES));
    const second = await timed(() => one.store(again));
    await one.finish(again, second.result);
    const ms = [first, second, here, there].map((one) => one.ms.toFixed(0).padStart(8)).join("");
    say(`${name.padEnd(12)}${String(size).padStart(4)} MB${ms}   ${here.result.kind}, ${there.result.kind}`);
  }

  const long = await openSession();
  const before = await sizeOf(database);
  let run = long.run;
  for (let turn = 0; turn < followUps; turn += 1) {
    await appendFile(long.file, transcript(TURN_BYTES));
    await long.finish(run, await long.store(run));
    if (turn + 1 < followUps) run = await long.next();
  }
  const after = await sizeOf(database);
  const [rows] = await rowsOf<{ pieces: string; lists: string; packed: string }>(
    orm,
    sql`select (select count(*) from session_chunk where session_id = ${long.sessionId}::uuid) as pieces,
      (select sum(length(data)) from session_chunk where session_id = ${long.sessionId}::uuid) as packed,
      (select sum(pg_column_size(files)) from agent_memory where session_id = ${long.sessionId}::uuid) as lists`,
  );
  const mb = (bytes: unknown) => (Number(bytes) / MIB).toFixed(1);
  say(
    `${name.padEnd(12)}${followUps} follow-ups: transcript ${mb(Bun.file(long.file).size)} MB, ${rows?.pieces} pieces of ${mb(rows?.packed)} MB, lists of ${mb(rows?.lists)} MB; the tables of memory grew by ${mb(after - before)} MB`,
  );
}

async function sizeOf({ orm }: Database): Promise<number> {
  const [row] = await rowsOf<{ size: string }>(
    orm,
    sql`select pg_total_relation_size('session_chunk') + pg_total_relation_size('agent_memory') as size`,
  );
  return Number(row?.size);
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { followups: { type: "string", default: "1000" } },
});
const folder = await mkdtemp(join(tmpdir(), "pb-memory-"));
const postgres = await startPostgres({ folder });
try {
  say("database      size  stored  again  restored here, elsewhere (ms)");
  for (const url of [postgres.url, undefined]) {
    const config = readConfig({
      DATA_DIR: join(folder, url ? "one" : "two"),
      AUTH_MODE: "local",
      HOST: "127.0.0.1",
      ...(url && { DATABASE_URL: url }),
    });
    await mkdir(config.dataDir, { recursive: true });
    const database = await openDatabase({ config, logger: createLogger({ level: "silent" }) });
    await migrate({ database, queue: false });
    await bench(database, folder, url ? "postgres" : "embedded", Number(values.followups));
    await database.close();
  }
} finally {
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}
