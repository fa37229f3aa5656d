import { expect, test } from "bun:test";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { type Backend, createDeployment, startBackend } from "../harness/backend.ts";
import { writerOf } from "../harness/seed.ts";
import { describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { claim, tableOf } from "./fixture.ts";
import { seeded } from "./random.ts";
import { openReader } from "./reader.ts";

const READERS = 50;
const EVENTS_PER_RUN = 2_500;
const SEED = 42;

describeWith("postgres", "readers that disconnect and resume", () => {
  test("50 readers, 5,000 events of two runs, two servers, each killed once: every log equals the table, byte for byte", async () => {
    await using deployment = await createDeployment("postgres");
    const env = { RATE_LIMIT_PER_MINUTE: "0", RATE_LIMIT_ADDRESS_PER_MINUTE: "0", LOG_LEVEL: "warn" };
    const start = () => startBackend(deployment, { args: ["server"], env });
    const servers: Backend[] = [await start(), await start()];
    const url = deployment.env["DATABASE_URL"] ?? "";
    const database = await openPostgres({ url, poolMax: 4, logger: createLogger({ level: "silent" }) });
    try {
      const node = (random: (below: number) => number) => servers[random(2)] as Backend;
      const runs = await Promise.all(
        ["one", "two"].map(async (text) => {
          const ids = await node(seeded(1)).submit("owner/name", text);
          return { sessionId: ids.sessionId, run: await claim(database, ids.promptId), written: 0 };
        }),
      );
      const all = () => runs.reduce((sum, { written }) => sum + written, 0);
      let ready = 0;
      let returns = 0;

      /** Follows one session, or with none all of them, and is away now and then. @returns its log of each session. */
      const follow = async (number: number, sessionId: string | undefined) => {
        const random = seeded(SEED + number);
        const logs = new Map(runs.map((run) => [run.sessionId, [] as string[]]));
        const wanted = sessionId === undefined ? runs.length * EVENTS_PER_RUN : EVENTS_PER_RUN;
        const path = sessionId === undefined ? "/events" : `/sessions/${sessionId}/events`;
        let id: string | undefined;
        let had = 0;
        while (had < wanted) {
          // Half of them by header, half by address.
          const place: Parameters<typeof openReader> =
            id === undefined || random(2) === 0
              ? [`${node(random).url}${path}${id === undefined ? "" : `?after=${id}`}`]
              : [`${node(random).url}${path}`, { headers: { "last-event-id": id } }];
          const reader = await openReader(...place).catch(() => undefined);
          let left = 1 + random(600);
          try {
            if (reader?.status !== 200) throw new Error("not now");
            for await (const event of reader.events()) {
              if (event.id !== undefined) {
                if (id === undefined) ready += 1;
                id = event.id;
              }
              if (event.event !== "message") continue;
              logs.get(JSON.parse(event.data).session_id)?.push(event.data);
              had += 1;
              left -= 1;
              if (left === 0 || had >= wanted) break;
            }
          } catch {
            // The server is away, or was killed in mid-sentence.
            await Bun.sleep(20);
          }
          reader?.leave();
          returns += 1;
        }
        return logs;
      };

      const readers = Array.from({ length: READERS }, (_, number) => {
        const mine = [runs[0]?.sessionId, runs[1]?.sessionId, undefined][number % 3];
        return { mine, logs: follow(number, mine) };
      });
      // Followers of everything begin now: they must have begun.
      const ofAll = readers.filter(({ mine }) => mine === undefined).length;
      await until(() => ready >= ofAll, { what: "followers of everything to be ready", timeoutMs: 60_000 });

      const writing = runs.map(async (one, number) => {
        const random = seeded(SEED - 1 - number);
        while (one.written < EVENTS_PER_RUN) {
          const count = Math.min(1 + random(20), EVENTS_PER_RUN - one.written);
          const events = Array.from({ length: count }, (_, n) => ({
            type: "assistant",
            uuid: crypto.randomUUID(),
            text: `${one.written + n} “ü\n\r\u2028\\ 🙂” ${"x".repeat(random(2_000))}`,
          }));
          await writerOf(database.orm, one.run).append(events);
          one.written += count;
          if (random(4) === 0) await Bun.sleep(random(30));
        }
      });
      for (const [index, share] of [0.3, 0.6].entries()) {
        await until(() => all() >= share * runs.length * EVENTS_PER_RUN, {
          what: "events to kill a server in the midst of",
          timeoutMs: 120_000,
        });
        const doomed = servers[index] as Backend;
        doomed.process.kill("SIGKILL");
        await doomed.process.exit;
        servers[index] = await start();
      }
      await Promise.all(writing);

      const tables = new Map<string, string[]>();
      for (const { sessionId } of runs) tables.set(sessionId, await tableOf(database, sessionId));
      for (const { mine, logs } of readers)
        for (const [sessionId, log] of await logs) {
          const expected = mine === undefined || mine === sessionId ? (tables.get(sessionId) ?? []) : [];
          expect(log.join("\n")).toBe(expected.join("\n"));
        }
      expect([...tables.values()].map(({ length }) => length)).toEqual([EVENTS_PER_RUN, EVENTS_PER_RUN]);
      expect(returns).toBeGreaterThan(READERS * 4);
      process.stderr.write(`${returns} streams opened by ${READERS} readers\n`);
    } finally {
      await database.close();
      for (const server of servers) await server[Symbol.asyncDispose]();
    }
  }, 300_000);
});
