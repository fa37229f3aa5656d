/**
 * Measures a session's live stream on the server: events per second when one reader replays a session (compared with the
 * same events as one list), and the latency from commit to a live reader, alone and with 20 others.
 *
 *   bun test/bench/stream.ts [COUNT]      COUNT events of 1 KB, default 20,000; TEST_BINARY=path measures that executable
 */
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { removeFolder, startPostgres } from "../harness/private-servers.ts";
import { writerOf } from "../harness/seed.ts";
import { claim } from "../live/fixture.ts";
import { openReader, type Reader } from "../live/reader.ts";

const COUNT = Number(process.argv[2] ?? 20_000);
const FOLLOWED = 300;
const event = (n: number) => ({ type: "assistant", n, text: "x".repeat(1_000) });

const folder = await mkdtemp(join(tmpdir(), "pb-bench-"));
await chmod(folder, 0o755);
const postgres = await startPostgres({ folder });
process.env["TEST_DATABASE_URL"] = postgres.url;
try {
  await using deployment = await createDeployment("postgres");
  await using backend = await startBackend(deployment, { args: ["server"], env: { LOG_LEVEL: "warn" } });
  const url = deployment.env["DATABASE_URL"] ?? "";
  const database = await openPostgres({ url, poolMax: 2, logger: createLogger({ level: "silent" }) });
  const { sessionId, promptId } = await backend.submit("owner/name", "Measure");
  const run = await claim(database, promptId);
  for (let n = 0; n < COUNT; n += 200)
    await writerOf(database.orm, run).append(Array.from({ length: 200 }, (_, m) => event(n + m)));

  const path = `${backend.url}/sessions/${sessionId}/events`;
  const rates: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    const startedAt = performance.now();
    const reader = await openReader(path);
    await take(reader, COUNT);
    const ms = performance.now() - startedAt;
    reader.leave();
    await backend.messages(promptId);
    rates.push((COUNT / ms) * 1000);
    ratios.push((performance.now() - startedAt - ms) / ms);
  }
  // The first round is a warm-up.
  console.log(
    `replay of ${COUNT} events of 1 KB by one reader, events/s: ${rates.slice(1).map(Math.round).join(", ")}`,
  );
  console.log(
    `times as fast as the list of the same events: ${ratios
      .slice(1)
      .map((one) => one.toFixed(2))
      .join(", ")}`,
  );

  let last = COUNT;
  for (const others of [0, 20]) {
    const [reader, ...rest] = await Promise.all(
      Array.from({ length: others + 1 }, async () => {
        const one = await openReader(`${path}?after=${last}`);
        await one.next("session");
        return one;
      }),
    );
    const crowd = rest.map((one) => take(one, FOLLOWED));
    const waits: number[] = [];
    for (let n = 0; n < FOLLOWED; n += 1) {
      await writerOf(database.orm, run).append([event(n)]);
      const committedAt = performance.now();
      await reader?.next("message");
      waits.push(performance.now() - committedAt);
    }
    await Promise.all(crowd);
    last += FOLLOWED;
    for (const one of [reader, ...rest]) one?.leave();
    waits.sort((a, b) => a - b);
    const at = (share: number) => waits[Math.floor((waits.length - 1) * share)]?.toFixed(1);
    console.log(
      `from commit to reader, ${others} others: median ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${at(1)} ms`,
    );
  }
  await database.close();
} finally {
  await postgres.stop();
  removeFolder(folder);
}

async function take(reader: Reader, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await reader.next("message");
}
