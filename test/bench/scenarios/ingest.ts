import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import postgres from "postgres";
import { createCommandAgent } from "../../../src/agents/command.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { createLogger } from "../../../src/observability/logger.ts";
import { ingest } from "../../../src/runs/ingest.ts";
import { readJournal } from "../../../src/sandboxes/process/journal.ts";
import { seedSession, writerOf } from "../../harness/seed.ts";
import { createDatabase } from "../../harness/services.ts";
import { claim } from "../../live/fixture.ts";
import { type Figure, interleave, type Scenario } from "../scenario.ts";
import { openLineToEvent } from "./line-to-event.ts";

const ROWS = 20_000;
/** Lines of all agents together in a second, and how many agents print them. */
const LOADS = [
  { rate: 1, sessions: 1 },
  { rate: 100, sessions: 1 },
  { rate: 1_000, sessions: 1 },
  { rate: 5_000, sessions: 1 },
  { rate: 100, sessions: 100 },
  { rate: 1_000, sessions: 100 },
  { rate: 5_000, sessions: 100 },
];
/** The goal is about this one. */
const GOAL_RATE = 5_000;

export const scenario: Scenario = {
  name: "ingest",
  about:
    "an agent's line to its client's event; and what an agent has printed to rows, against COPY of the same rows",
  async run(bench) {
    await bench.postgres();
    await bench.redis();
    return [await storing(bench.rounds, bench.folder), ...(await linesToEvents(bench))];
  },
};

const eventOf = (n: number) => ({
  type: "assistant",
  message: { role: "assistant", content: [{ type: "text", text: `${n} ${"x".repeat(200)}` }] },
});

/** From a file that an agent has written, by all that reads, checks and stores it, to committed rows. */
async function storing(rounds: number, folder: string): Promise<Figure> {
  const { url, drop } = await createDatabase();
  const database = await openPostgres({ url, poolMax: 4, logger: createLogger({ level: "silent" }) });
  const client = postgres(url, { max: 1, onnotice: () => undefined });
  const file = join(folder, "printed");
  const lines = Array.from({ length: ROWS }, (_, n) => JSON.stringify(eventOf(n)));
  await writeFile(file, `${lines.join("\n")}\n`);
  const agent = createCommandAgent({
    ...{ argv: ["true"], program: () => undefined, missing: "", modelApi: undefined },
  });
  const perSecond = async (work: (of: { sessionId: string; promptId: string }) => Promise<void>) => {
    const { sessionId, promptIds } = await seedSession(database, 1);
    const promptId = promptIds[0] ?? "";
    const run = { sessionId, promptId };
    await claim(database, promptId);
    const began = performance.now();
    await work(run);
    const seconds = (performance.now() - began) / 1_000;
    const [row] = await client`select count(*)::int as count from message where session_id = ${sessionId}`;
    if (row?.["count"] !== ROWS) throw new Error(`${row?.["count"]} rows instead of ${ROWS}`);
    await database.orm.execute(sql`truncate message`);
    return ROWS / seconds;
  };
  const ours = () =>
    perSecond(({ promptId }) =>
      ingest({
        lines: (byRun) =>
          readJournal({
            ...{ file, from: 0, byRun, ended: () => true, signal: new AbortController().signal },
            changes: { count: () => 0, after: async () => undefined },
          }),
        reader: agent.reader(),
        stored: 0,
        limits: { maxEvents: 2 * ROWS, maxStoredBytes: 1e9 },
        onLimit: (limit) => {
          throw new Error(limit.reason);
        },
        write: writerOf(database.orm, { promptId, epoch: 1 }).append,
      }),
    );
  const copy = () =>
    perSecond(async ({ sessionId, promptId }) => {
      const into =
        await client`copy message (id, prompt_id, session_id, seq, attempt, data) from stdin`.writable();
      const rows = lines.map(
        (line, n) => `${Bun.randomUUIDv7()}\t${promptId}\t${sessionId}\t${n + 1}\t1\t${line}\n`,
      );
      await new Promise<void>((resolve, reject) => {
        into.on("finish", resolve).on("error", reject);
        into.end(rows.join(""));
      });
    });
  try {
    // Once each, to have everything compiled.
    await ours();
    await copy();
    const samples = await interleave(rounds, { ours, copy });
    return {
      ...{ measure: "events stored", unit: "rows/s", samples: samples.ours, goal: { atLeast: 0.3 } },
      reference: { name: "COPY of the same rows", samples: samples.copy },
    };
  } finally {
    await Promise.all([client.end(), database.close()]);
    await drop();
  }
}

async function linesToEvents({
  binary,
  rounds,
  seconds,
  say,
}: Parameters<Scenario["run"]>[0]): Promise<Figure[]> {
  const service = await openLineToEvent(binary, Math.max(...LOADS.map(({ sessions }) => sessions)));
  try {
    const figures: Figure[] = [];
    for (const load of LOADS) {
      const taken = [];
      for (let round = 0; round < rounds; round += 1) {
        say(`ingest: ${load.rate} lines/s of ${load.sessions}, round ${round + 1} of ${rounds}`);
        taken.push(await service.measure({ ...load, seconds: Math.max(seconds, 5 / load.rate) }));
      }
      const last = taken.at(-1);
      figures.push({
        measure: `line to event, p95, ${load.rate} lines/s of ${load.sessions} ${load.sessions === 1 ? "session" : "sessions"}`,
        unit: "ms",
        samples: taken.map(({ p95 }) => p95),
        ...(load.rate === GOAL_RATE && load.sessions === 1 && { goal: { atMost: 15 } }),
        details: { "p50, ms": last?.p50 ?? Number.NaN, "CPU, µs/line": last?.cpuPerLine ?? Number.NaN },
      });
    }
    return figures;
  } finally {
    await service.close();
  }
}
